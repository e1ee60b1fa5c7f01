# SPDX-License-Identifier: Apache-2.0
"""The audit of the synthetic set: vetoes by hand, verdicts that do not fit, copies, and the seal."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.federated.server.stages.synthetic_set import FOLDER, SealedSet, audit, late_audit
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import AUDIT
from tests.federated.tiny import FakeRun, noise_manifest, tiny_plan, tiny_settings

COUNT = 8


class Sites:
    """Sites that veto what the test says, of a set of four images of each."""

    def __init__(self, **vetoes: list[int]) -> None:
        self.vetoes = vetoes
        self.tensors: dict[str, dict[str, Tensor]] = {}
        self.asked: list[AuditRequest] = []

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[AuditRequest]) -> Envelope[AuditReply] | None:
        assert task is AUDIT
        self.asked.append(request.body)
        if site not in self.vetoes:
            return None
        vetoed = torch.tensor(self.vetoes[site], dtype=torch.int64)
        good = {"vetoed": vetoed, "distances": torch.linspace(0, 1, COUNT)}
        return Envelope(AuditReply(0.25), self.tensors.get(site, good))


def audited(folder: Path, sites: Sites, **changes: Any) -> tuple[Any, SealedSet]:
    settings = tiny_settings(**changes)
    run: Any = FakeRun(folder, settings, sites)
    manifest = noise_manifest(folder / FOLDER, ["site_a"] * 4 + ["site_b"] * 4)
    return run, audit(run, tiny_plan(settings), manifest)


def test_what_a_site_vetoes_is_out_and_the_rest_is_sealed(tmp_path: Path) -> None:
    sites = Sites(site_a=[0, 5], site_b=[5])
    run, sealed = audited(tmp_path, sites, synthetic={"audit_quantile": 0.1})
    manifest = sealed.pool.manifest
    assert sealed.kept == [1, 2, 3, 4, 6, 7]
    assert sealed.sha256 == hashlib.sha256(f"{manifest.sha256}:{sealed.kept}".encode()).hexdigest()
    assert (sealed.auditors, sealed.decliners) == ({"site_a", "site_b"}, frozenset())
    assert {body.quantile for body in sites.asked} == {0.1}
    assert sites.asked[0].files.manifest == manifest
    told = run.record.data["audit"]["site_a"]
    assert (told["candidates"], told["vetoed"], told["threshold"]) == (8, 2, 0.25)
    assert sum(told["distances"]["counts"]) == COUNT
    assert run.record.data["synthetic"]["kept"] == 6
    assert [(kind, site) for kind, site, _ in run.record.data["events"]] == [("vetoed", "site_a"), ("vetoed", "site_b")]
    for sheet in run.record.data["synthetic"]["sheets"].values():
        assert (tmp_path / sheet).is_file()


def test_a_finished_audit_is_not_done_again(tmp_path: Path) -> None:
    _, first = audited(tmp_path, Sites(site_a=[0], site_b=[]))
    sites = Sites()
    _, again = audited(tmp_path, sites)
    assert sites.asked == []
    assert (again.kept, again.sha256, again.auditors) == (first.kept, first.sha256, first.auditors)


def test_a_site_whose_branch_copies_is_named(tmp_path: Path) -> None:
    """Site_a finds three of the four images of its own branch too near; half are allowed, so its part is left out."""
    run, sealed = audited(tmp_path, Sites(site_a=[0, 1, 2], site_b=[]), synthetic={"max_veto_share": 0.5})
    assert sealed.kept == [4, 5, 6, 7]
    assert "site_a" in {site for _, site, _ in run.record.data["events"]}
    everything = Sites(site_a=[0, 1, 2, 4, 5, 6, 7], site_b=[])
    with pytest.raises(DSFedMedError, match=r"there is no synthetic set .*1 of 2 sites take them"):
        audited(tmp_path / "all", everything, synthetic={"max_veto_share": 0.5})
    _, sealed = audited(tmp_path / "half", Sites(site_a=[0, 1], site_b=[]), synthetic={"max_veto_share": 0.5})
    assert sealed.kept == [2, 3, 4, 5, 6, 7]


INT, FLOAT = torch.tensor([1]), torch.zeros(COUNT)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "sent no verdict"),
        ({"vetoed": INT}, "sent no verdict"),
        ({"distances": FLOAT}, "sent no verdict"),
        ({"vetoed": INT.reshape(1, 1), "distances": FLOAT}, "sent no verdict"),
        ({"vetoed": INT, "distances": FLOAT[1:]}, "sent no verdict"),
        ({"vetoed": INT.float(), "distances": FLOAT}, "other number types"),
        ({"vetoed": INT, "distances": FLOAT.long()}, "other number types"),
        ({"vetoed": torch.tensor([COUNT]), "distances": FLOAT}, "does not fit the synthetic set"),
        ({"vetoed": torch.tensor([-1]), "distances": FLOAT}, "does not fit the synthetic set"),
        ({"vetoed": INT, "distances": FLOAT * float("nan")}, "does not fit the synthetic set"),
    ],
)
def test_a_verdict_that_does_not_fit_is_refused(tmp_path: Path, tensors: dict[str, Tensor], reason: str) -> None:
    sites = Sites(site_a=[], site_b=[])
    sites.tensors = {"site_b": tensors}
    with pytest.raises(PayloadError, match=f"site_b: sent .*{reason.removeprefix('sent ')}"):
        audited(tmp_path, sites)


def test_a_late_audit_leaves_the_set_as_it_was_sealed(tmp_path: Path) -> None:
    """Site_b joins where it vetoes nothing of what was kept; otherwise it declines, and that is recorded."""
    run, sealed = audited(tmp_path, Sites(site_a=[0]))
    assert sealed.auditors == {"site_a"}
    run.answer = Sites(site_b=[0])
    joined = late_audit(run, tiny_plan(run.settings), sealed, ["site_b"])
    assert joined == replace(sealed, auditors=frozenset({"site_a", "site_b"}))
    run.answer = Sites(site_b=[0, 3])
    declined = late_audit(run, tiny_plan(run.settings), sealed, ["site_b"])
    assert declined == replace(sealed, decliners=frozenset({"site_b"}))
    kind, site, text = run.record.data["events"][-1]
    assert (kind, site) == ("vetoed", "site_b")
    assert text == "too late to take out 1 synthetic images; it trains without the set"
    run.answer = Sites()
    assert late_audit(run, tiny_plan(run.settings), sealed, ["site_b"]) == sealed, "who does not answer is asked again"


def test_the_announced_set_is_the_one_in_the_run_folder(tmp_path: Path) -> None:
    sites = Sites(site_a=[], site_b=[])
    _, sealed = audited(tmp_path, sites)
    assert Path(sites.asked[0].files.source) == tmp_path / FOLDER
    assert isinstance(sealed.pool.manifest, Manifest)
    assert sealed.pool.origin == ("site_a",) * 4 + ("site_b",) * 4
