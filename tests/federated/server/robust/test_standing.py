# SPDX-License-Identifier: Apache-2.0
"""Updates that cannot be are refused with an event, and a site that sends them again and again is no longer asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.server.averaging import Collected
from dsfedmed.federated.server.robust.held_updates import HeldUpdates
from dsfedmed.federated.server.robust.standing import Standing, refuse_by_form
from tests.federated.tiny import FakeRun, tiny_settings

WEIGHTS = {"w": torch.full((2000,), 0.1)}
COUNTS = {"site_a": 4, "site_b": 12, "site_c": 8, "bad": 8}


def honest(seed: int) -> torch.Tensor:
    return 0.01 * torch.randn(2000, generator=torch.Generator().manual_seed(seed))


def run_of(folder: Path, **robust: Any) -> Any:
    return FakeRun(folder, tiny_settings(robust=robust), lambda *_: None)


def round_of(folder: Path, bad: torch.Tensor, number: int) -> Collected:
    held, mean = HeldUpdates(folder / "updates", WEIGHTS), WeightedMean(WEIGHTS)
    sent = {site: honest(10 * number + place) for place, site in enumerate(COUNTS)} | {"bad": bad}
    for site, vector in sent.items():
        held.add(site, {"w": vector})
        mean.add(site, {"w": vector}, COUNTS[site])
    return Collected(WEIGHTS, COUNTS, WeightedMean, held, mean)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (honest(9) * 1000, "times as long as the median of the others'"),
        (torch.full((2000,), 60_000.0), "times as long as the weights themselves"),
        (torch.zeros(2000), "changes nothing"),
        (honest(9) * 1e-3, "of the length of the median of the others'"),
    ],
)
def test_what_cannot_be_does_not_count_and_the_record_says_why(bad: torch.Tensor, said: str, tmp_path: Path) -> None:
    run, found, standing = run_of(tmp_path), round_of(tmp_path, bad, 1), Standing()
    refuse_by_form(run, found, standing, 1)
    assert (list(found.refused), found.kept) == (["bad"], ["site_a", "site_b", "site_c"])
    [(kind, site, text)] = run.record.data["events"]
    assert (kind, site) == ("refused", "bad")
    assert said in text
    parts = [(COUNTS[name], honest(10 + place)) for place, name in enumerate(("site_a", "site_b", "site_c"))]
    mean = sum(count * vector for count, vector in parts) / 24
    assert torch.allclose(found.average(run)["w"], WEIGHTS["w"] + mean)


def test_without_a_refusal_the_result_is_that_of_the_mean_to_the_last_bit(tmp_path: Path) -> None:
    run, found = run_of(tmp_path), round_of(tmp_path, honest(9) * 5, 1)
    refuse_by_form(run, found, Standing(), 1)
    assert found.refused == {}
    assert torch.equal(found.average(run)["w"], WEIGHTS["w"] + found.mean.result()["w"])
    assert torch.equal(found.average(run)["w"], run_again(tmp_path)["w"])


def run_again(folder: Path) -> dict[str, torch.Tensor]:
    return round_of(folder / "again", honest(9) * 5, 1).average(run_of(folder / "none", gate_norm=0, trials=False))


def test_an_update_of_an_earlier_round_is_known_again(tmp_path: Path) -> None:
    run, standing = run_of(tmp_path), Standing()
    refuse_by_form(run, round_of(tmp_path, honest(99), 1), standing, 1)
    refuse_by_form(run, round_of(tmp_path, honest(98), 2), standing, 2)
    stale = round_of(tmp_path, honest(99), 3)
    refuse_by_form(run, stale, standing, 3)
    assert stale.refused == {"bad": "its update is that of round 1 again"}


def test_an_update_that_has_grown_by_much_is_to_be_looked_into(tmp_path: Path) -> None:
    run, standing = run_of(tmp_path), Standing()
    assert refuse_by_form(run, round_of(tmp_path, honest(99), 1), standing, 1) == []
    found = round_of(tmp_path, honest(98) * 6, 2)
    assert refuse_by_form(run, found, standing, 2) == ["bad"]
    assert found.refused == {}


def test_an_update_that_has_grown_by_far_too_much_does_not_count(tmp_path: Path) -> None:
    run, standing = run_of(tmp_path), Standing()
    refuse_by_form(run, round_of(tmp_path, honest(99), 1), standing, 1)
    found = round_of(tmp_path, honest(98) * 12, 2)
    assert refuse_by_form(run, found, standing, 2) == []
    assert "has grown" in found.refused["bad"]
    assert standing.norms["bad"] < 1, "it is still held against what counted last"


def test_after_three_refusals_a_site_is_no_longer_asked(tmp_path: Path) -> None:
    run, standing = run_of(tmp_path), Standing()
    for number in (1, 2, 3):
        assert standing.asked(run, COUNTS) == list(COUNTS)
        refuse_by_form(run, round_of(tmp_path, torch.zeros(2000), number), standing, number)
    assert standing.asked(run, COUNTS) == ["site_a", "site_b", "site_c"]
    assert run.record.data["events"][-1][2].endswith("it is out")


def test_a_refusal_is_taken_back_and_never_below_none(tmp_path: Path) -> None:
    standing = Standing()
    standing.strike("bad")
    assert standing.watched(COUNTS) == ["bad"]
    standing.acquit("bad")
    standing.acquit("bad")
    assert (standing.watched(COUNTS), standing.strikes) == ([], {"bad": 0})


def test_too_few_that_are_left_end_the_run_with_the_sites_named(tmp_path: Path) -> None:
    run, standing = run_of(tmp_path), Standing({"site_b": 3})
    with pytest.raises(DSFedMedError, match="site_b: its updates were refused 3 times, and without it fewer than min"):
        standing.asked(run, ["site_a", "site_b"])
    found = round_of(tmp_path, torch.zeros(2000), 1)
    found.refused |= {"site_a": "its update changes nothing", "site_b": "x", "site_c": "y"}
    with pytest.raises(DSFedMedError, match=r"1 of 2 needed updates count \(site_a its update changes nothing"):
        found.require_enough(run, "dsf_train")


def test_the_gate_can_be_switched_off(tmp_path: Path) -> None:
    run, found = run_of(tmp_path, gate_norm=0), round_of(tmp_path, torch.zeros(2000), 1)
    refuse_by_form(run, found, Standing(), 1)
    assert found.refused == {}
