# SPDX-License-Identifier: Apache-2.0
"""Whole runs with one site of three that sends rubbish, lies within the ranges, or does not fit: none of them stops."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.tasks import AUDIT, BASE, BRANCH, EVALUATE, FACTS, LOCAL, MASKS, SOFT_LABELS, TRAIN
from dsfedmed.settings import Settings
from tests.federated.security.federation import (
    HOSTILE,
    SOURCES,
    UNSEEN,
    Outcome,
    Tamper,
    federate,
)
from tests.federated.security.test_hostile_replies import Change, cases, fact, said, sent
from tests.runs.local import without_pictures

HONEST = [site for site in SOURCES if site != HOSTILE]
SCRIPT = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


def tampering(changes: dict[str, Change]) -> Tamper:
    """Change the replies of some tasks."""
    return lambda task, request, reply: changes[task](reply) if task in changes else reply


def rubbish(task: str, request: Message, reply: Message) -> Message:
    """Send nothing that can be used, once the site is in the run."""
    return reply if task == FACTS.name else Message({"body": {"weight": 10**9}, "header": {}}, {"x": torch.zeros(1)})


def asked(outcome: Outcome) -> set[str]:
    return {task for task, _ in outcome.deeds.requests}


@pytest.mark.parametrize("case", ["dsfedmed", "pfedsam", "samfed", "samfed_of_each"])
def test_rubbish_costs_only_the_site_that_sends_it(case: str, small_sites: Path, tmp_path: Path) -> None:
    outcome = federate(case, tmp_path, small_sites, rubbish)
    assert outcome.verdict == "complete"
    kinds = {kind for kind, _ in outcome.events()}
    assert kinds == {"refused"}
    assert len(outcome.events()) >= len(asked(outcome)) - 1
    for site in (*HONEST, UNSEEN):
        assert [kind for kind, _ in outcome.events(site) if kind not in ("vetoed", "stands out")] == []
        assert site in outcome.record["cases"][outcome.record["method"]]
    assert HOSTILE not in outcome.record["cases"][outcome.record["method"]]


def test_a_run_that_needs_every_site_stops_with_the_bad_one_named(small_sites: Path, tmp_path: Path) -> None:
    outcome = federate("dsfedmed", tmp_path, small_sites, rubbish, min_sites=3)
    assert outcome.verdict.startswith("incomplete: dsf_base: 2 of 3 needed sites answered (site_c: sent ")


LIES: dict[str, Change] = {
    FACTS.name: fact(counts={"training": 10**6, "validation": 10**6, "test": 2}),
    BASE.name: said(loss=1e30),
    BRANCH.name: sent(lambda tensors: {name: torch.full_like(tensor, 6e4) for name, tensor in tensors.items()}),
    MASKS.name: sent(lambda tensors: {**tensors, "planes": torch.zeros_like(tensors["planes"])}),
    AUDIT.name: sent(lambda tensors: {**tensors, "vetoed": torch.arange(len(tensors["distances"]))}),
    TRAIN.name: said(validation=1.0),
    LOCAL.name: said(validation=1.0, steps=10**9),
    EVALUATE.name: cases(lambda case: {"dice": [1.0], "iou": [1.0], "hd95": [0.0], "case": 10**8}),
}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_lies_within_the_ranges_stop_no_run(share: float, small_sites: Path, tmp_path: Path) -> None:
    outcome = federate("dsfedmed", tmp_path, small_sites, tampering(LIES), synthetic={"max_veto_share": share})
    assert outcome.verdict == "complete"
    told = dict(outcome.events())
    assert (
        told["declined"]
        == "it vetoes 100% of the other sites' images, which stay in the set; it trains without the set"
    )
    assert outcome.record["synthetic"]["kept"] == 2 * len(HONEST), "what the others' branches made, and nothing else"
    assert SOFT_LABELS.name not in asked(outcome)
    assert TRAIN.name in asked(outcome), "it goes on in the rounds"


class CheckOnly(FederatedWorkflow):
    """The first stage alone."""

    METHOD = "dsfedmed"

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        return ("check sites",)

    def work(self) -> None:
        check_sites(self)


def failing(reason: str) -> Change:
    """Answer that the task was not done."""
    return lambda message: Message({"error": {"where": "x", "reason": reason, "fix": "none"}})


MISFITS: dict[str, tuple[Change, str]] = {
    "10^9 images": (fact(counts={"training": 10**9, "validation": 8, "test": 2}), "it has sent no facts"),
    "colour": (fact(channels=3), "its channels is 3 where the others have 1"),
    "two classes": (fact(num_classes=2, label_names=["a", "b"]), "its num_classes is 2 where the others have 1"),
    "another class": (fact(label_names=[SCRIPT]), "its label_names is ('<script>"),
    "nested": (lambda message: fact(nested=not message.info["body"]["facts"]["nested"])(message), "its nested is "),  # type: ignore
    "no validation": (fact(counts={"training": 4, "test": 2}), "it has no validation images"),
    "no images": (fact(counts={}), "it has no training and no validation and no test images"),
    "an error": (failing(SCRIPT), "it has sent no facts"),
    "nothing": (lambda message: Message({}), "it has sent no facts"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_site_that_does_not_fit_is_left_out(name: str, small_sites: Path, tmp_path: Path) -> None:
    change, text = MISFITS[name]
    outcome = federate("dsfedmed", tmp_path, small_sites, tampering({FACTS.name: change}), workflow=CheckOnly)
    assert outcome.verdict == "complete"
    assert outcome.record["sites"] == HONEST
    assert sorted(outcome.record["facts"]) == [*HONEST, UNSEEN]
    (found,) = [message for kind, message in outcome.events() if kind == "left out"]
    assert found.startswith(text)
    assert all(letter.isprintable() for _, message in outcome.events() for letter in message)


def test_an_unseen_site_that_does_not_fit_is_left_out(small_sites: Path, tmp_path: Path) -> None:
    tamper = tampering({FACTS.name: fact(channels=3)})
    outcome = federate("dsfedmed", tmp_path, small_sites, tamper, hostile=UNSEEN, workflow=CheckOnly)
    assert (outcome.verdict, outcome.record["sites"], outcome.record["unseen"]) == ("complete", list(SOURCES), [])
    assert [kind for kind, _ in outcome.events(UNSEEN)] == ["left out"]


def test_without_a_majority_or_enough_sites_the_run_stops_with_the_site_named(
    small_sites: Path, tmp_path: Path
) -> None:
    tamper = tampering({FACTS.name: fact(channels=3)})
    too_few = federate("dsfedmed", tmp_path / "few", small_sites, tamper, workflow=CheckOnly, min_sites=3)
    assert too_few.verdict.startswith("incomplete: site_c: its channels is 3 where the others have 1")
    two = tmp_path / "two"
    two.mkdir()
    for site in ("site_a", HOSTILE):
        (two / site).symlink_to(small_sites / site)
    outcome = federate("dsfedmed", tmp_path / "run", two, tamper, workflow=CheckOnly, min_sites=1, unseen=[])
    assert outcome.verdict.startswith("incomplete: site_c: its channels is 3 where the others have 1")


def test_a_run_without_a_site_is_reported_to_its_end(
    small_sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the site said is shown as text, in the record and on the page."""
    monkeypatch.undo()  # with pictures
    outcome = federate("dsfedmed", tmp_path, small_sites, tampering({FACTS.name: failing(SCRIPT)}))
    assert outcome.verdict == "complete"
    assert asked(outcome) == {FACTS.name}
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "it has sent no facts" in page
    assert "alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_a_site_with_a_network_of_its_own_may_be_left_out(small_sites: Path, tmp_path: Path) -> None:
    outcome = federate("samfed_of_each", tmp_path, small_sites, tampering({FACTS.name: fact(channels=3)}))
    assert outcome.verdict == "complete"
    stranger = federate("samfed_of_each", tmp_path / "z", small_sites, method={"site_bundles": {"site_z": "x"}})
    assert stranger.verdict.startswith("incomplete: method.site_bundles: names site_z, which does not train")


def test_a_label_site_leaves_too_few_where_one_is_left_out(small_sites: Path, tmp_path: Path) -> None:
    tamper = tampering({FACTS.name: fact(channels=3)})
    outcome = federate("samfed", tmp_path, small_sites, tamper, min_sites=2)
    assert outcome.verdict.startswith("incomplete: check sites: 1 sites are left to train, and min_sites is 2")
