# SPDX-License-Identifier: Apache-2.0
"""A site takes a synthetic set only after its own audit, and only without what it vetoed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import write_shards
from dsfedmed.errors import DataError, PayloadError, StoreError
from dsfedmed.federated.party.folders import AUDITS, SET_FOLDER
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import PULLED
from dsfedmed.federated.site.tasks.synthetic import audit_synthetic_set, open_set, require_own_audit
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditRequest
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.store.files import read_json
from tests.federated.site.tasks.conftest import newcomer
from tests.federated.tiny import noise_manifest


def test_a_set_without_what_it_vetoed_is_taken(auditor: SiteContext, audited: Manifest) -> None:
    require_own_audit(auditor, audited, [0, 1, 2])


def test_a_set_that_still_holds_a_veto_is_refused(auditor: SiteContext, audited: Manifest) -> None:
    with pytest.raises(PayloadError, match="still holds 1 images that it vetoed"):
        require_own_audit(auditor, audited, [0, 3])


def test_a_set_that_it_never_audited_is_refused(auditor: SiteContext, audited: Manifest, tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match=r"site_a: it takes no synthetic set that it has not audited.*take part"):
        require_own_audit(newcomer(auditor, tmp_path / "newcomer"), audited, [0, 1, 2])
    other = noise_manifest(tmp_path / "other", ["site_b"] * 4)
    with pytest.raises(PayloadError, match="has not audited"):
        require_own_audit(auditor, other, [0])


def test_a_site_may_switch_the_rule_off(auditor: SiteContext, audited: Manifest, tmp_path: Path) -> None:
    require_own_audit(newcomer(auditor, tmp_path / "newcomer", require_audit=False), audited, [0, 3])


def test_the_verdict_is_indices_and_distances_and_is_kept(auditor: SiteContext, plan: FederationPlan) -> None:
    manifest = noise_manifest(auditor.folder / SET_FOLDER, ["site_b"] * 3)
    reply = audit_synthetic_set(auditor, Envelope(AuditRequest(plan.common, SetOffer(manifest, "x"), 0.05)))
    assert set(reply.tensors) == {"vetoed", "distances"}
    assert (reply.tensors["vetoed"].dtype, reply.tensors["vetoed"].numel()) == (torch.int64, 0)
    assert reply.tensors["distances"].shape == (3,)
    assert bool((reply.tensors["distances"] >= reply.body.threshold).all())
    (file,) = (auditor.folder / AUDITS).iterdir()
    assert read_json(file) == {"vetoed": [], "quantile": 0.05}


@pytest.mark.parametrize("settings", [{"window": [9e5, 1e6]}, {"image_size": [16, 16]}, {"no_such_setting": 1}])
def test_nothing_that_a_job_says_of_its_network_blinds_the_audit(
    auditor: SiteContext, audited: Manifest, plan: FederationPlan, settings: dict[str, Any]
) -> None:
    """A window far from all grey values makes every image black to the network; the audit still finds the copy."""
    light = replace(plan.light_spec, settings={**plan.light_spec.settings, **settings}, sha256="0" * 64)
    body = AuditRequest(replace(plan.common, light=light), SetOffer(audited, PULLED), 0.05)
    reply = audit_synthetic_set(auditor, Envelope(body))
    assert reply.tensors["vetoed"].tolist() == [3]


def test_a_job_may_ask_for_more_vetoes_and_never_for_less(
    auditor: SiteContext, audited: Manifest, plan: FederationPlan
) -> None:
    (file,) = (auditor.folder / AUDITS).iterdir()
    for asked, used in ((0.0, 0.01), (0.2, 0.2)):
        audit_synthetic_set(auditor, Envelope(AuditRequest(plan.common, SetOffer(audited, PULLED), asked)))
        assert read_json(file) == {"vetoed": [3], "quantile": used}


def test_a_set_of_channels_that_the_site_does_not_have_is_refused(auditor: SiteContext, plan: FederationPlan) -> None:
    images = torch.zeros((2, 4, 32, 32), dtype=torch.uint8)
    labels = torch.ones((2, 1, 32, 32), dtype=torch.uint8)
    manifest = write_shards(auditor.folder / SET_FOLDER, images, labels, ["site_b"] * 2)
    with pytest.raises(PayloadError, match="4 channels and the site's images have 1"):
        audit_synthetic_set(auditor, Envelope(AuditRequest(plan.common, SetOffer(manifest, "x"), 0.05)))


def test_too_few_images_of_its_own_say_so(site: SiteContext, plan: FederationPlan) -> None:
    """Three validation images tell nothing of how near two patients are."""
    manifest = noise_manifest(site.folder / SET_FOLDER, ["site_b"] * 3)
    with pytest.raises(DataError, match="site_a"):
        audit_synthetic_set(site, Envelope(AuditRequest(plan.common, SetOffer(manifest, "x"), 0.05)))


def test_a_set_that_is_not_whole_is_not_opened(auditor: SiteContext, audited: Manifest, tmp_path: Path) -> None:
    assert len(open_set(auditor, audited, None)) == 4
    assert len(open_set(auditor, audited, (0, 2))) == 2
    with pytest.raises((PayloadError, StoreError)):
        open_set(newcomer(auditor, tmp_path / "newcomer"), audited, None)
    shard = auditor.folder / SET_FOLDER / audited.shards[0].name
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(PayloadError):
        open_set(auditor, audited, None)
