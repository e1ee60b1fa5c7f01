# SPDX-License-Identifier: Apache-2.0
"""Requests around the synthetic set: its manifest, indices and hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest, SoftLabelsReply, SoftLabelsRequest
from dsfedmed.federated.wire.specs import SetOffer, SoftLabelChoice
from tests.federated.tiny import HASH
from tests.federated.wire.requests.bodies import PLAN, comes_back, manifest_in, refused


@pytest.fixture
def audit(tmp_path: Path) -> AuditRequest:
    return AuditRequest(PLAN.common, SetOffer(manifest_in(tmp_path), "server"), 0.05)


@pytest.fixture
def soft(tmp_path: Path) -> SoftLabelsRequest:
    chosen = SoftLabelChoice(manifest_in(tmp_path), (0, 1), (1,), HASH, 0.25, 2.5, ("site_a",))
    return SoftLabelsRequest(PLAN.common, 3, chosen)


def test_all_come_back(audit: AuditRequest, soft: SoftLabelsRequest) -> None:
    assert comes_back(audit).files == audit.files
    assert comes_back(soft).synthetic == soft.synthetic
    for reply in (AuditReply(0.25), SoftLabelsReply(3, HASH)):
        assert comes_back(reply) == reply


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("quantile", 1.5, "1.5 is not between"),
        ("quantile", None, "which is no float"),
        ("files.manifest.shards.0.name", "../x.safetensors", "not a plain .safetensors name"),
        ("files.manifest.count", 3, "the shards hold 2 images"),
        ("files.source", "", "'' is not of the form"),
        ("files.references", {"": "x"}, "'' is not of the form"),
    ],
)
def test_an_audit_within_its_limits_only(audit: AuditRequest, path: str, value: Any, reason: str) -> None:
    assert reason in refused(audit, path, value)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("synthetic.kept", [0, -1], "-1 is not between"),
        ("synthetic.selected", ["0"], "which is no int"),
        ("synthetic.soft_labels", "", "'' is not of the form"),
        ("synthetic.sites", ["a/b"], "'a/b' is not of the form"),
        ("synthetic.kl_weight", -0.5, "-0.5 is not between"),
        ("round", -1, "-1 is not between"),
    ],
)
def test_soft_labels_within_their_limits_only(soft: SoftLabelsRequest, path: str, value: Any, reason: str) -> None:
    assert reason in refused(soft, path, value)


def test_a_reply_within_its_limits_only() -> None:
    assert "nan is not between" in refused(AuditReply(0.25), "threshold", float("nan"))
    assert "is not of the form" in refused(SoftLabelsReply(3, HASH), "kept", "other")
