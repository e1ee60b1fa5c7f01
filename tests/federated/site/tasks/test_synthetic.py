# SPDX-License-Identifier: Apache-2.0
"""A site takes a synthetic set only after its own audit, and only without what it vetoed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import FederationFacts
from dsfedmed.data.synthetic import write_shards
from dsfedmed.errors import PayloadError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import make_plan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.soft_labels import keep_soft_labels
from dsfedmed.federated.site.tasks.synthetic import audit, require_own_audit
from dsfedmed.federated.wire.message import Message
from dsfedmed.training.soft_labels import encode_soft
from tests.federated.tiny import BUNDLES, tiny_settings


@pytest.fixture
def site(tmp_path: Path) -> SiteContext:
    (data,) = make_demo_sites(tmp_path / "images", 0, ["site_a"], training=6, validation=12, test=2)
    return SiteContext("site_a", PartyConfig(data=data, bundles=BUNDLES), tmp_path / "own")


@pytest.fixture
def audited(site: SiteContext) -> dict[str, object]:
    """A set of one copy of a training image and three of noise, audited; returns its manifest."""
    plan = make_plan(
        tiny_settings(), PartyConfig(bundles=BUNDLES), FederationFacts(1, 1, ("lesion",), True), {"site_a": 6}
    )
    copy = site.arrays("training", plan.light_spec).images[:1]
    noise = torch.rand((3, *copy.shape[1:]), generator=torch.Generator().manual_seed(0))
    images = (torch.cat([noise, copy]) * 255).round().to(torch.uint8)
    labels = torch.ones((4, 1, *copy.shape[2:]), dtype=torch.uint8)
    manifest = write_shards(site.folder / "synthetic", images, labels, ["site_b"] * 4).to_dict()
    reply = audit(site, Message({**plan.common, "files": {"manifest": manifest}, "quantile": 0.05}))
    assert reply.tensors["vetoed"].tolist() == [3], "the copy, and nothing else"
    return manifest


def test_a_set_without_what_it_vetoed_is_taken(site: SiteContext, audited: dict[str, object]) -> None:
    require_own_audit(site, audited, [0, 1, 2])


def test_a_set_that_still_holds_a_veto_is_refused(site: SiteContext, audited: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="still holds 1 images that it vetoed"):
        require_own_audit(site, audited, [0, 3])


def test_a_set_that_it_never_audited_is_refused_before_soft_labels_are_kept(
    site: SiteContext, audited: dict[str, object], tmp_path: Path
) -> None:
    newcomer = SiteContext("site_a", site.config, tmp_path / "newcomer")
    levels = encode_soft(torch.zeros(2, 1, 16, 16))
    chosen = {"manifest": audited, "kept": [0, 1, 2], "selected": [0, 1]}
    request = Message({"synthetic": chosen, "num_classes": 1, "round": 1}, {"levels": levels})
    with pytest.raises(PayloadError, match="no synthetic set that it has not audited"):
        keep_soft_labels(newcomer, request)
    assert not (newcomer.folder / "soft_labels.safetensors").exists()
    assert keep_soft_labels(site, request).info["round"] == 1


def test_a_site_may_switch_the_rule_off(site: SiteContext, audited: dict[str, object], tmp_path: Path) -> None:
    lenient = PartyConfig(data=site.config.data, bundles=BUNDLES, require_audit=False)
    require_own_audit(SiteContext("site_a", lenient, tmp_path / "newcomer"), audited, [0, 3])
