# SPDX-License-Identifier: Apache-2.0
"""Soft labels at a site: kept only of a set that it audited, and given to a round that names site and hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.soft_labels import joint_source, keep_soft_labels, synthetic_source
from dsfedmed.federated.site.tasks.synthetic import open_set
from dsfedmed.federated.wire.message import Envelope, request_message
from dsfedmed.federated.wire.requests.synthetic import SoftLabelsReply, SoftLabelsRequest
from dsfedmed.federated.wire.specs import JointSet, SoftLabelChoice
from dsfedmed.federated.wire.tasks import SOFT_LABELS
from dsfedmed.training.distillation.soft_labels import encode_soft
from tests.federated.site.tasks.conftest import newcomer
from tests.federated.tiny import HASH, arrived, over_the_wire

LEVELS = {"levels": encode_soft(torch.linspace(0, 1, 2 * 256).reshape(2, 1, 16, 16))}


@pytest.fixture
def chosen(audited: Manifest) -> SoftLabelChoice:
    """Samples 0 and 2 of the set, of which 0, 1 and 2 were kept."""
    return SoftLabelChoice(audited, (0, 1, 2), (0, 2), digest(LEVELS), 0.5, 0.25, ("site_a", "site_b"))


def request(
    plan: FederationPlan, chosen: SoftLabelChoice, tensors: dict[str, Tensor] = LEVELS
) -> Envelope[SoftLabelsRequest]:
    return arrived(SOFT_LABELS, Envelope(SoftLabelsRequest(plan.common, 1, chosen), tensors))


def test_a_set_that_it_never_audited_is_refused_before_soft_labels_are_kept(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice, tmp_path: Path
) -> None:
    stranger = newcomer(auditor, tmp_path / "newcomer")
    with pytest.raises(PayloadError, match="no synthetic set that it has not audited"):
        keep_soft_labels(stranger, request(plan, chosen))
    assert not (stranger.folder / "soft_labels.safetensors").exists()
    reply = keep_soft_labels(auditor, request(plan, chosen))
    assert reply.body == SoftLabelsReply(1, digest(LEVELS))
    assert reply.tensors == {}


def test_the_chosen_samples_come_with_their_soft_labels_and_weights(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    """Positions count among the kept ones: of 1 and 2, positions 1 and 0 are images 2 and 1 of the set."""
    chosen = replace(chosen, kept=(1, 2), selected=(1, 0))
    keep_soft_labels(auditor, request(plan, chosen))
    source = synthetic_source(auditor, chosen, 1)
    assert source is not None
    whole = open_set(auditor, chosen.manifest, None)
    assert torch.equal(source.images, whole.images([2, 1]))
    assert torch.equal(source.label_maps, whole.labels([2, 1]))
    assert source.soft is not None
    assert torch.equal(source.soft, LEVELS["levels"].float() / 255)
    assert (source.supervised_weight, source.kl_weight) == (0.5, 0.25)
    again = synthetic_source(auditor, chosen, 1)
    assert again is not None
    assert again.images is source.images, "read once for a selection"


def test_a_round_that_does_not_name_the_site_has_none(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    keep_soft_labels(auditor, request(plan, chosen))
    assert synthetic_source(auditor, None, 1) is None
    assert synthetic_source(auditor, replace(chosen, sites=("site_b",)), 1) is None


def test_other_soft_labels_than_the_round_means_are_refused(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    with pytest.raises(PayloadError, match="site_a: holds other soft labels"):
        synthetic_source(auditor, chosen, 1)
    keep_soft_labels(auditor, request(plan, chosen))
    with pytest.raises(PayloadError, match="site_a: holds other soft labels"):
        synthetic_source(auditor, replace(chosen, soft_labels=HASH), 1)


def test_a_round_with_a_vetoed_image_is_refused(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    """Image 3 is a copy of the site's own."""
    keep_soft_labels(auditor, request(plan, chosen))
    with pytest.raises(PayloadError, match="still holds 1 images that it vetoed"):
        synthetic_source(auditor, replace(chosen, kept=(0, 1, 2, 3)), 1)


def test_a_selection_beyond_the_set_is_refused(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    beyond = replace(chosen, selected=(0, 3))
    keep_soft_labels(auditor, request(plan, beyond))
    with pytest.raises(PayloadError, match="server: selected samples that are not in the set"):
        synthetic_source(auditor, beyond, 1)


@pytest.mark.parametrize(
    "tensors",
    [{}, {"levels": LEVELS["levels"], "more": torch.ones(1)}, {"levels": LEVELS["levels"][:1]},
     {"levels": LEVELS["levels"].float()}],
)  # fmt: skip
def test_soft_labels_that_do_not_fit_the_selection_are_not_kept(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice, tensors: dict[str, Tensor]
) -> None:
    with pytest.raises(PayloadError, match="server"):
        keep_soft_labels(auditor, request(plan, chosen, tensors))
    assert not (auditor.folder / "soft_labels.safetensors").exists()


def test_joint_pairs_are_those_of_the_other_sites_that_were_kept(auditor: SiteContext, audited: Manifest) -> None:
    """The site's own kind is in its real batch already; masks alone, at the weight that the request gives."""
    kept = (0, 1, 2)  # image 3 is a copy that it vetoed
    joint = joint_source(auditor, JointSet(audited, kept, 0.5, (auditor.name,)))
    assert joint is not None
    whole = open_set(auditor, audited, None)
    others = [index for index in kept if whole.origin[index] != auditor.name]
    assert 0 < len(others) < len(kept)
    assert torch.equal(joint.images, whole.images(others))
    assert torch.equal(joint.label_maps, whole.labels(others))
    assert (joint.soft, joint.supervised_weight, joint.kl_weight) == (None, 0.5, 0.0)
    fewer = joint_source(auditor, JointSet(audited, tuple(others[:1]), 0.5, (auditor.name,)))
    assert fewer is not None
    assert torch.equal(fewer.images, whole.images(others[:1])), "another selection is read anew"


def test_joint_pairs_of_a_set_that_it_never_audited_are_refused(
    auditor: SiteContext, audited: Manifest, tmp_path: Path
) -> None:
    stranger = newcomer(auditor, tmp_path / "newcomer")
    with pytest.raises(PayloadError, match="no synthetic set that it has not audited"):
        joint_source(stranger, JointSet(audited, (0,), 0.5, (stranger.name,)))
    assert joint_source(stranger, JointSet(audited, (0,), 0.5, ("another_site",))) is None
    assert joint_source(stranger, None) is None


def test_those_of_an_earlier_round_that_come_again_replace_the_later_ones(
    auditor: SiteContext, plan: FederationPlan, chosen: SoftLabelChoice
) -> None:
    """A server that did a damaged stage again goes through the same rounds once more."""
    later_levels = {"levels": 255 - LEVELS["levels"]}
    later = replace(chosen, soft_labels=digest(later_levels))
    sent = [(1, chosen, LEVELS), (2, later, later_levels), (1, chosen, LEVELS)]
    for number, asked, tensors in sent:
        body = SoftLabelsRequest(plan.common, number, asked)
        auditor.answer(SOFT_LABELS.name, over_the_wire(request_message(Envelope(body, tensors))))
    source = synthetic_source(auditor, chosen, 1)
    assert source is not None
    assert source.soft is not None
    assert torch.equal(source.soft, LEVELS["levels"].float() / 255)
