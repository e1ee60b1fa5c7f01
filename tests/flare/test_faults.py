# SPDX-License-Identifier: Apache-2.0
"""One real run in which sites fail as only processes can, report their progress, and add noise to what they send.

What a reply may hold is tested without processes (``tests/federated/local/test_faults.py``); here it is what NVFlare
makes of an executor that raises, hangs or loses its worker, and of a hospital's filters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.recipe import export_job
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.store.files import read_json
from tests.flare.recorded import GUARD, add_filters, client_config, ship
from tests.runs.commands import BUNDLES, simulate_folder
from tests.runs.smoke import ALONE, smoke
from tests.runs.stored import stage_tensors

pytestmark = pytest.mark.federation

PLAN = {
    "site_a": {"1": "nan", "4": "raise"},
    "site_b": {"2": "die"},
    "site_c": {"3": "hang"},
}
ROUNDS = 5
STEPS = 200
"""Of a branch: it takes more than the second between two reports on a fast machine too."""
NOISE = {
    "path": "dsfedmed.flare.privacy.gaussian.GaussianMechanism",
    "args": {"clip": {"dsf_train": 2.0, "dsf_base": 5.0}, "noise_multiplier": 0.002, "networks": "pass"},
}


@dataclass(frozen=True)
class Outcome:
    """What the run left."""

    run: Path
    workspace: Path
    record: dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def outcome(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run of some rounds in which every site fails at least once, never two of three in one round."""
    folder = tmp_path_factory.mktemp("faults")
    settings = smoke(
        rounds=ROUNDS,
        timeouts={"straggler_grace_s": 8, "returning_grace_s": 6},
        generator={"branch_steps": STEPS},
        schedule={"warmup_rounds": 2, "interval_rounds": 2},
        compare=ALONE,
    )
    job = export_job(settings, folder / "jobs")
    config = client_config(job)
    config["executors"][0]["executor"] = {"path": "faulty.FaultyExecutor", "args": {"plan": PLAN}}
    add_filters(config, [NOISE, GUARD])
    ship(job, "faulty.py", config)
    prepare_workspace(folder / "ws", SimulatedSites(sites, folder / "run", BUNDLES))
    own = folder / "ws" / "local" / "dsfedmed.yaml"
    own.write_text(yaml.safe_dump(yaml.safe_load(own.read_text()) | {"progress_s": 1}))
    code, output = simulate_folder(job, folder / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    return Outcome(folder / "run", folder / "ws", read_json(folder / "run" / "record.json"), output)


def events(outcome: Outcome, site: str, number: int) -> list[tuple[str, str]]:
    return [(e["kind"], e["message"]) for e in outcome.record["events"] if (e["site"], e["round"]) == (site, number)]


def test_the_run_is_complete_and_finite(outcome: Outcome) -> None:
    assert outcome.record["verdict"] == "complete"
    weights = stage_tensors(outcome.run, "training-dsfedmed")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


@pytest.mark.parametrize(
    ("site", "number", "kind", "word"),
    [
        ("site_a", 1, "refused", "not finite"),
        ("site_b", 2, "refused", "signal 9"),
        ("site_c", 3, "missing", "no answer"),
        ("site_a", 4, "missing", "no answer"),
    ],
)
def test_each_fault_is_recorded_with_its_site_and_reason(
    outcome: Outcome, site: str, number: int, kind: str, word: str
) -> None:
    found = events(outcome, site, number)
    assert any(k == kind and word in message for k, message in found), found


@pytest.mark.parametrize(("site", "number"), [("site_a", 2), ("site_b", 3), ("site_c", 4), ("site_a", 5)])
def test_each_site_is_taken_back(outcome: Outcome, site: str, number: int) -> None:
    """It is back with the next thing it is asked: the soft labels after the round it missed, or the next round."""
    found = events(outcome, site, number - 1) + events(outcome, site, number)
    assert any(kind == "returned" for kind, _ in found), found


def test_a_round_averages_those_that_answered(outcome: Outcome) -> None:
    losses = {entry["round"]: set(entry["loss"]) for entry in outcome.record["curves"]["dsfedmed"]}
    assert losses[1] == {"site_b", "site_c"}
    assert losses[2] == {"site_a", "site_c"}
    assert losses[5] == {"site_a", "site_b", "site_c"}


def test_a_long_task_shows_how_far_every_site_is(outcome: Outcome) -> None:
    """From the training loop through worker, site and server to the console."""
    lines = re.findall(r"fit branches: (.*)  task ETA \d+:\d\d", outcome.output)
    assert lines, outcome.output[-3000:]
    for line in lines:
        assert re.fullmatch(rf"site_[abc] \d+/{STEPS}(, site_[abc] \d+/{STEPS})*", line), line


def test_noise_is_stated_by_every_site_and_counted_in_its_own_account(outcome: Outcome) -> None:
    """Rounds of the base and of the network, without those in which a site sent no update."""
    missed = {"site_a": 2, "site_b": 1, "site_c": 0}
    assert set(outcome.record["privacy"]) == set(missed)
    base_rounds = outcome.record["config"]["generator"]["base_rounds"]
    for site, lost in missed.items():
        stated = outcome.record["privacy"][site]
        assert (stated["mechanism"], stated["noise_multiplier"]) == ("gaussian", 0.002)
        assert stated["releases"] == base_rounds + ROUNDS - lost
        assert stated["epsilon"] is None, "so little noise protects nothing that could be stated"
        (account,) = outcome.workspace.rglob(f"privacy_budget-{site}.json")
        assert len(read_json(account)) == stated["releases"]
