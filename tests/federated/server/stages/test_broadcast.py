# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed's one broadcast of teacher and public set: who trains, what travels, and who missed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.broadcast import PublicBroadcast, TeacherBroadcast, unlabelled_sites
from dsfedmed.federated.server.stages.public_set import PublicSet
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.semi_supervised import LabelReply, PublicReply, PublicRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import LABEL, PUBLIC
from dsfedmed.store.files import read_json
from tests.federated.tiny import run_with_public


class Sites:
    """Sites that label their images unless they are away."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.short = ""

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any] | None:
        assert task in (LABEL, PUBLIC)
        reply = LabelReply(6, 6, 0.9) if task is LABEL else PublicReply(5 if site == self.short else 6)
        return None if site in self.away else Envelope(reply)


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def run(tmp_path: Path, sites: Sites) -> Any:
    return run_with_public(tmp_path, sites, teacher={"tune": "lora"}, method={"threshold": 0.8})


def test_a_site_that_missed_the_broadcast_is_asked_again_and_no_other(
    run: Any, plan: FederationPlan, public: PublicSet, sites: Sites
) -> None:
    sites.away = {"site_b"}
    teacher = {"w": torch.ones(2)}
    sent = TeacherBroadcast(run, plan, public, teacher, ["site_a", "site_b"])
    assert sent.ready() == ("site_a",)
    sites.away = set()
    assert sent.ready() == ("site_a", "site_b")
    assert sent.ready() == ("site_a", "site_b")
    assert [asked for _, asked, _ in run.asked] == [("site_a", "site_b"), ("site_b",), ("site_b",)]
    assert all(request.tensors["w"].dtype == torch.float16 for _, _, request in run.asked)
    resumed = TeacherBroadcast(run, plan, public, teacher, ["site_a", "site_b"])
    assert len(run.asked) == 3, "what was broadcast is known after a restart"
    assert resumed.ready()[0] == "site_a"


def test_the_label_site_trains_nothing(run: Any) -> None:
    run.sources = ["site_a", "site_b", "site_c"]
    assert unlabelled_sites(run, "site_a") == ["site_b", "site_c"]
    assert unlabelled_sites(run, "") == run.sources
    with pytest.raises(ConfigError, match="site_z"):
        unlabelled_sites(run, "site_z")
    run.sources = ["site_a", "site_b"]
    with pytest.raises(ConfigError, match="min_sites is 2"):
        unlabelled_sites(run, "site_a")


def test_the_store_says_who_has_labelled(run: Any, plan: FederationPlan, public: PublicSet) -> None:
    TeacherBroadcast(run, plan, public, {"w": torch.ones(1)}, ["site_a"])
    assert read_json(run.folder / "store" / "broadcast teacher.json")["info"]["sites"] == {"site_a": 0.9}


def test_without_a_teacher_the_set_alone_travels(run: Any, plan: FederationPlan, public: PublicSet) -> None:
    sent = PublicBroadcast(run, plan, public, ["site_a", "site_b"])
    assert sent.ready() == ("site_a", "site_b")
    ((name, _, request),) = run.asked
    assert (name, type(request.body), request.tensors) == ("dsf_public", PublicRequest, {})
    assert request.body.files.manifest == public.manifest
    kept = read_json(run.folder / "store" / "broadcast public set.json")["info"]
    assert kept["sites"] == {"site_a": 6, "site_b": 6}


def test_a_site_without_the_whole_set_does_not_count(
    run: Any, plan: FederationPlan, public: PublicSet, sites: Sites
) -> None:
    sites.short = "site_a"
    with pytest.raises(PayloadError, match="site_a: has 5 public images of 6"):
        PublicBroadcast(run, plan, public, ["site_a", "site_b"])


@pytest.mark.parametrize(("tune", "kind"), [("lora", "low_rank"), ("full", "teacher")])
def test_the_request_says_what_travels_of_the_teacher(
    run: Any, plan: FederationPlan, public: PublicSet, tune: Any, kind: str
) -> None:
    """Low-rank updates need the frozen part, which the sites have; a whole teacher needs none."""
    tuned = replace(plan, settings=replace(plan.settings, teacher=replace(plan.settings.teacher, tune=tune)))
    TeacherBroadcast(run, tuned, public, {"w": torch.ones(1)}, ["site_a"])
    body = run.asked[-1][2].body
    assert body.kind == kind
    assert body.teacher_init == (plan.teacher_init if kind == "low_rank" else None)
    assert body.files.manifest == public.manifest
    assert Path(body.files.source) == run.folder / "public"
    assert body.config.threshold == 0.8
