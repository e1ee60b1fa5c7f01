# SPDX-License-Identifier: Apache-2.0
"""A site that has audited a small synthetic set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import write_shards
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import PULLED
from dsfedmed.federated.site.tasks.synthetic import audit_synthetic_set
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditRequest
from dsfedmed.federated.wire.specs import SetOffer
from tests.federated.tiny import BUNDLES


@pytest.fixture
def auditor(tmp_path: Path) -> SiteContext:
    """A site with enough validation images for an audit."""
    site_module._datalist.cache_clear()
    (data,) = make_demo_sites(tmp_path / "images", 0, ["site_a"], training=6, validation=12, test=2)
    return SiteContext("site_a", PartyConfig(data=data, bundles=BUNDLES), tmp_path / "own")


@pytest.fixture
def audited(auditor: SiteContext, plan: FederationPlan) -> Manifest:
    """Three images of noise and a copy of a training image, audited; returns their manifest."""
    copy = auditor.arrays("training", plan.light_spec).images[:1]
    noise = torch.rand((3, *copy.shape[1:]), generator=torch.Generator().manual_seed(0))
    images = (torch.cat([noise, copy]) * 255).round().to(torch.uint8)
    labels = torch.ones((4, 1, *copy.shape[2:]), dtype=torch.uint8)
    manifest = write_shards(auditor.folder / "synthetic", images, labels, ["site_a", *["site_b"] * 3])
    body = AuditRequest(plan.common, SetOffer(manifest, PULLED), 0.05)
    reply = audit_synthetic_set(auditor, Envelope(body))
    assert reply.tensors["vetoed"].tolist() == [3], "the copy, and nothing else"
    return manifest


def newcomer(site: SiteContext, folder: Path, require_audit: bool = True) -> SiteContext:
    """Return the same site with an empty folder, which has audited nothing."""
    return SiteContext(site.name, replace(site.config, require_audit=require_audit), folder)
