# SPDX-License-Identifier: Apache-2.0
"""FedAvg of the light network on sites of which one may be bad, over the transport without NVFlare."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.local.in_process import InProcessWorker
from dsfedmed.federated.local.site import LocalSite, Worker
from dsfedmed.federated.local.transport import LocalTransport
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import SimulatedSites, write_party_config
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.training_run import TrainingSpec, train_all_rounds
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from dsfedmed_benchmarks.poison.bad_site import BadWorker
from dsfedmed_benchmarks.poison.masks import MASKS, with_wrong_masks
from dsfedmed_benchmarks.poison.updates import UPDATES

HONEST, WITHOUT, LIES = "honest", "without it", "lying validation"
ATTACKS = (*UPDATES, *MASKS, LIES)
"""Every way of being bad."""
MODEL = "fedavg"


class FedAvgAlone(FederatedWorkflow):
    """FedAvg and nothing else."""

    METHOD = "dsfedmed"

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:  # noqa: ARG003
        """Name the stages."""
        return ("check sites", "rounds", "evaluate")

    def work(self) -> None:
        """Train and score."""
        plan = check_sites(self)
        state = train_all_rounds(self, plan, TrainingSpec(MODEL), plan.start_weights())
        evaluate(self, plan, {MODEL: ScoredModel(state.best)}, {})


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        dice: mean Dice of every site's test images, 0 to 1; empty where the run did not end.
        chosen: the round that was chosen.
        refused: round, site and reason of every update that did not count.
        verdict: of the record.
        seconds: of the whole run.
    """

    dice: dict[str, float]
    chosen: int
    refused: list[tuple[int, str, str]]
    verdict: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def honest_transport(settings: Settings, layout: SimulatedSites, names: list[str]) -> LocalTransport:
    """Return these sites, every one honest, in one process; the run folder must not be there yet."""
    local = _party(layout.run / "local", layout)
    return LocalTransport(local, {name: _site(name, local, settings) for name in names}, at_once=False)


def run_with(bad: str, behaviour: str, settings: Settings, layout: SimulatedSites, names: list[str]) -> Outcome:
    """Run once from the start.

    Args:
        bad: the site that is bad, or left out.
        behaviour: one of ``ATTACKS``, `HONEST` or `WITHOUT`.
        settings: of the run.
        layout: where everything lies; the run folder is emptied before and holds a copy of the site with wrong masks.
        names: of all sites.
    """
    shutil.rmtree(layout.run, ignore_errors=True)
    local = _party(layout.run / "local", layout)
    sites = {name: _site(name, local, settings) for name in names if behaviour != WITHOUT or name != bad}
    if behaviour in MASKS:
        with_wrong_masks(layout.sites / bad, layout.run / "wrong" / bad, behaviour)
        wrong = SimulatedSites(layout.run / "wrong", layout.run / "wrong_run", layout.bundles)
        sites[bad] = _site(bad, _party(layout.run / "wrong_local", wrong), settings)
    elif behaviour not in (HONEST, WITHOUT):
        update = UPDATES[behaviour]() if behaviour in UPDATES else None
        sites[bad] = LocalSite(bad, sites[bad].folder, BadWorker(sites[bad].worker, update, behaviour == LIES))
    started = time.monotonic()
    with suppress(DSFedMedError):  # the record says why
        FedAvgAlone(settings).run(LocalTransport(local, sites, at_once=False))
    return _outcome(layout.run, time.monotonic() - started)


def _party(local: Path, layout: SimulatedSites) -> Path:
    local.mkdir(parents=True)
    write_party_config(local, layout)
    return local


def _site(name: str, local: Path, settings: Settings) -> LocalSite:
    config = load_party_config(local, name, run_key(settings, FedAvgAlone.METHOD))
    folder = config.need("output")
    folder.mkdir(parents=True, exist_ok=True)
    worker: Worker = InProcessWorker(name, config, folder)
    return LocalSite(name, folder, worker)


def _outcome(run: Path, seconds: float) -> Outcome:
    record: Mapping[str, Any] = read_json(run / FILE_NAME)
    cases = record.get("cases", {}).get(MODEL, {})
    dice = {site: _mean([_mean(case["dice"]) for case in found]) for site, found in cases.items()}
    refused = [
        (event.get("round") or 0, event["site"], event["message"])
        for event in record["events"]
        if event["kind"] == "refused"
    ]
    chosen = record.get("selected", {}).get(MODEL, {}).get("round", 0)
    return Outcome(dice, chosen, refused, record["verdict"], round(seconds, 1))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
