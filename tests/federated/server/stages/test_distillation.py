# SPDX-License-Identifier: Apache-2.0
"""The server's half of mutual distillation: who learns where, soft labels until they have arrived, and resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.exchange.tensors import Weights, digest
from dsfedmed.federated.server.stages.distillation import Distillation
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditReply, SoftLabelsReply, SoftLabelsRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import AUDIT, SOFT_LABELS
from tests.federated.tiny import HASH, PAIRS, FakeRun, sealed_set, tiny_plan, tiny_settings


def _same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Sites:
    """Sites that keep soft labels, unless told to be absent or to keep wrong ones."""

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.wrong: set[str] = set()

    def __call__(
        self, site: str, task: Task[Any, Any], request: Envelope[SoftLabelsRequest]
    ) -> Envelope[SoftLabelsReply] | None:
        assert task is SOFT_LABELS
        if site in self.absent:
            return None
        kept = HASH if site in self.wrong else digest(request.tensors)
        return Envelope(SoftLabelsReply(request.body.round, kept))


def _make(folder: Path, at: str = "sites", **changes: Any) -> tuple[FakeRun, Sites, Distillation, Weights]:
    values = tiny_settings(schedule={"distil_at": at}, **changes)
    plan, sites = tiny_plan(values), Sites()
    run = FakeRun(folder, values, sites)
    teacher = dict(plan.teacher_network().state_dict())
    return run, sites, Distillation(run, plan, sealed_set(folder), teacher), plan.start_weights()


@pytest.mark.parametrize(
    ("at", "light_learns", "soft"), [("sites", False, True), ("server", True, False), ("both", True, True)]
)
def test_who_learns_where(tmp_path: Path, at: str, light_learns: bool, soft: bool) -> None:
    _, _, distillation, light = _make(tmp_path, at)
    before = distillation.teacher
    after = distillation.distil(1, {name: tensor.clone() for name, tensor in light.items()}, 1)
    assert not _same(before, distillation.teacher)
    assert after.keys() == light.keys()
    assert _same(after, light) is not light_learns
    assert distillation.distiller.server.learn == ("both" if light_learns else "teacher")
    assert distillation.steps > 0 if light_learns else distillation.steps == 0
    assert (distillation.soft_labels is not None) is soft
    assert (distillation.send_soft_labels() is not None) is soft


def test_soft_labels_cover_the_selected_share_of_the_kept_set(tmp_path: Path) -> None:
    run, _, distillation, light = _make(tmp_path, distillation={"rate": 0.5})
    assert distillation.send_soft_labels() is None, "nothing to send before the first distillation"
    distillation.distil(1, light, 1)
    soft = distillation.soft_labels
    assert soft is not None
    assert soft.selected == sorted(set(soft.selected))
    assert len(soft.selected) in (3, 4)
    assert max(soft.selected) < PAIRS - 1
    assert soft.levels.dtype == torch.uint8
    assert tuple(soft.levels.shape) == (len(soft.selected), 1, 16, 16)
    assert soft.sha256 == digest({"levels": soft.levels})
    (entry,) = run.record.data["learnability"]
    assert (entry["round"], entry["pool"]) == (1, PAIRS - 1)
    assert sum(entry["scores"]["histogram"]["counts"]) == PAIRS - 1


def test_soft_labels_go_to_those_that_lack_them_until_they_have_them(tmp_path: Path) -> None:
    run, sites, distillation, light = _make(tmp_path)
    distillation.distil(1, light, 1)
    sites.absent, sites.wrong = {"site_a"}, {"site_b"}
    assert distillation.send_soft_labels() is None, "nobody has them"
    sites.wrong = set()
    chosen = distillation.send_soft_labels()
    assert chosen is not None
    assert chosen.soft_labels == distillation.soft_labels.sha256  # type: ignore[union-attr]
    assert chosen.kept == tuple(range(1, PAIRS))
    assert chosen.sites == ("site_b",), "the other trains on its own images until it has them"
    sites.absent = set()
    distillation.send_soft_labels()
    assert distillation.send_soft_labels() == replace(chosen, sites=("site_a", "site_b"))
    assert [targets for _, targets, _ in run.asked] == [("site_a", "site_b"), ("site_a", "site_b"), ("site_a",)]
    distillation.distil(2, light, 1)
    distillation.send_soft_labels()
    assert run.asked[-1][1] == ("site_a", "site_b"), "new soft labels go to all"


@pytest.mark.parametrize("vetoed", [[], [0], [2]])
def test_a_site_that_missed_the_audit_does_it_late(tmp_path: Path, vetoed: list[int]) -> None:
    """The set stays sealed: who vetoes what it holds (0 is not kept) trains without it; nobody is asked twice."""
    run, _, distillation, light = _make(tmp_path)
    distillation.sealed = replace(distillation.sealed, auditors=frozenset({"site_a"}))
    verdict = {"vetoed": torch.tensor(vetoed, dtype=torch.int64), "distances": torch.rand(PAIRS)}
    answer = run.answer
    run.answer = lambda s, t, r: Envelope(AuditReply(0.1), verdict) if t is AUDIT else answer(s, t, r)
    distillation.distil(1, light, 1)
    chosen = distillation.send_soft_labels()
    assert chosen is not None
    assert chosen.sites == (("site_a",) if vetoed == [2] else ("site_a", "site_b"))
    assert distillation.send_soft_labels() == chosen
    assert [(task, targets) for task, targets, _ in run.asked if task == "dsf_audit"] == [("dsf_audit", ("site_b",))]
    told = [(kind, site) for kind, site, _ in run.record.data.get("events", [])]
    assert told == ([("vetoed", "site_b")] if vetoed == [2] else [])


@pytest.mark.parametrize("at", ["sites", "both"])
def test_a_restart_goes_on_to_the_same_end(tmp_path: Path, at: str) -> None:
    _, _, unbroken, light = _make(tmp_path / "unbroken", at)
    whole = unbroken.distil(2, unbroken.distil(1, light, 1), 1)
    _, _, before, light = _make(tmp_path / "broken", at)
    once = before.distil(1, light, 1)
    run, _, after, light = _make(tmp_path / "broken", at)
    assert _same(after.teacher, before.teacher)
    assert after.soft_labels is not None
    assert before.soft_labels is not None
    assert after.soft_labels.sha256 == before.soft_labels.sha256
    assert _same(after.distil(1, light, 1), once), "a round that is done gives what it gave then"
    assert len(run.record.data["learnability"]) == 1
    assert _same(after.distil(2, once, 1), whole)
    assert _same(after.teacher, unbroken.teacher)
    assert after.soft_labels.sha256 == unbroken.soft_labels.sha256  # type: ignore[union-attr]
    assert [entry["round"] for entry in run.record.data["learnability"]] == [1, 2]


@pytest.mark.parametrize("size", [16, 64])
def test_a_teacher_that_sees_another_image_size_distils_all_the_same(tmp_path: Path, size: int) -> None:
    _, _, distillation, light = _make(tmp_path, "both", teacher_image_size=size)
    before = distillation.teacher
    after = distillation.distil(1, {name: tensor.clone() for name, tensor in light.items()}, 1)
    assert distillation.distiller.teacher.image_size == size  # type: ignore[attr-defined]
    assert not _same(before, distillation.teacher)
    assert not _same(after, light)
    assert distillation.soft_labels is not None
    assert tuple(distillation.soft_labels.levels.shape[-2:]) == (16, 16), "soft labels keep the images' scale"
