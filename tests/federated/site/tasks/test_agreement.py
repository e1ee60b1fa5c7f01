# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed at a site: SAM labels its images once; rounds under the agreement, with one network or with its own."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import PULLED
from dsfedmed.federated.site.tasks import agreement as agreement_module
from dsfedmed.federated.site.tasks import samfed_files
from dsfedmed.federated.site.tasks.agreement import (
    pseudo_label,
    site_network,
    train_site_network,
    train_with_agreement,
)
from dsfedmed.federated.wire.message import Envelope, UpdateHeader
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.semi_supervised import AgreeReply, AgreeRequest, FuseRequest, LabelRequest
from dsfedmed.federated.wire.specs import BundleSpec, SetOffer
from dsfedmed.federated.wire.tasks import AGREE, FUSE, LABEL
from dsfedmed.training.distillation.soft_labels import LEVELS
from dsfedmed.training.semi_supervised.both_sources import Passes
from dsfedmed.training.semi_supervised.config import SamFedConfig
from dsfedmed.training.semi_supervised.loop import UnlabelledTerms
from dsfedmed.training.semi_supervised.public import PublicSource
from tests.federated.tiny import arrived, noise_manifest, sent, tiny_plan, tiny_settings

PUBLIC = 4
CONFIG = SamFedConfig(ramp_rounds=1, teacher_flips=False)


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32"}))


@pytest.fixture
def manifest(site: SiteContext) -> Manifest:
    """The public set, pulled."""
    return noise_manifest(site.folder / SET_FOLDER, ["public"] * PUBLIC)


def label_request(plan: FederationPlan, manifest: Manifest) -> Envelope[LabelRequest]:
    body = LabelRequest(plan.common, SetOffer(manifest, PULLED), "teacher", plan.teacher_spec, None, CONFIG)
    return arrived(LABEL, Envelope(body, pack(dict(plan.teacher_network().state_dict()), "fp32")))


@pytest.fixture
def labelled(site: SiteContext, plan: FederationPlan, manifest: Manifest) -> SiteContext:
    """The site, which holds SAM's answers."""
    pseudo_label(site, label_request(plan, manifest))
    return site


def test_sam_labels_every_image_and_its_answers_stay(
    site: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    reply = pseudo_label(site, label_request(plan, manifest))
    kept = samfed_files.answers(site, 6, 1)
    assert kept.shape == (6, 1, 32, 32)
    assert (reply.body.images, reply.body.public, reply.tensors) == (6, PUBLIC, {})
    assert reply.body.confidence == pytest.approx(float(torch.maximum(kept, 1 - kept).mean()), abs=1e-3)
    assert 0.5 <= reply.body.confidence <= 1


def test_no_label_of_the_site_is_read(
    site: SiteContext, plan: FederationPlan, manifest: Manifest, tmp_path: Path
) -> None:
    """With all label files spoilt the answers are the same, and so is a round."""
    shutil.copytree(site.config.need("data"), tmp_path / "unlabelled")
    for path in (tmp_path / "unlabelled" / "labels").iterdir():
        path.write_bytes(b"no image")
    site_module._datalist.cache_clear()
    other = SiteContext("site_a", replace(site.config, data=tmp_path / "unlabelled"), tmp_path / "own")
    noise_manifest(other.folder / SET_FOLDER, ["public"] * PUBLIC)
    found = [pseudo_label(one, label_request(plan, manifest)).body for one in (site, other)]
    assert found[0] == found[1]
    asked = agree_request(plan, manifest)
    first, second = (train_with_agreement(one, asked).tensors for one in (site, other))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())


def agree_request(
    plan: FederationPlan,
    manifest: Manifest,
    weights: dict[str, Tensor] | None = None,
    number: int = 1,
    active: bool = True,
    **changes: Any,
) -> Envelope[AgreeRequest]:
    start = plan.start_weights() if weights is None else weights
    facts, config = plan.round_facts("samfed", number), replace(CONFIG, **changes)
    body = AgreeRequest(plan.common, facts, manifest, config, active)
    return arrived(AGREE, Envelope(body, sent(pack(start, "fp32"))))


def moved(reply: Envelope[AgreeReply]) -> float:
    return sum(float(tensor.square().sum()) for tensor in reply.tensors.values())


def test_a_round_returns_the_difference_and_what_was_agreed(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    reply = train_with_agreement(labelled, agree_request(plan, manifest))
    start = plan.start_weights()
    assert reply.is_difference
    assert reply.tensors.keys() == start.keys()
    assert moved(reply) > 0
    assert reply.body.round == 1
    assert reply.body.validation is None, "the site has no labels"
    assert reply.body.steps == 2, "six images in batches of four"
    assert 0 <= reply.body.agreement <= 1
    assert reply.header.update == UpdateHeader("samfed", 1, "fp32")
    assert set(reply.header.scalars) == {"samfed/agreement", "samfed/loss"}
    assert reply.header.scalars["samfed/agreement"] == pytest.approx(reply.body.agreement)


def test_a_round_asked_again_gives_the_same_bits_also_after_the_next_one(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    """Optimiser, agreement and local network of round 2 must not enter round 2 again."""
    train_with_agreement(labelled, agree_request(plan, manifest))
    second = train_with_agreement(labelled, agree_request(plan, manifest, number=2))
    train_with_agreement(labelled, agree_request(plan, manifest, number=3))
    again = train_with_agreement(labelled, agree_request(plan, manifest, number=2))
    assert (again.body, again.header) == (second.body, second.header)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in second.tensors.items())


def test_the_rounds_have_their_own_rate(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest, tmp_path: Path
) -> None:
    """Adam's steps are in proportion to the rate: a hundredth of it moves the weights a hundredth as far, nearly."""
    whole = train_with_agreement(labelled, agree_request(plan, manifest))
    slow = train_with_agreement(copy_of(labelled, tmp_path), agree_request(plan, manifest, rate_factor=0.01))
    assert moved(slow) / moved(whole) == pytest.approx(1e-4, rel=0.5)


def copy_of(site: SiteContext, folder: Path) -> SiteContext:
    """Return the site as it is now, with a folder of its own."""
    shutil.copytree(site.folder, folder / "twin")
    return SiteContext(site.name, site.config, folder / "twin")


def test_without_sam_its_answers_do_not_count(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest, tmp_path: Path
) -> None:
    """Where the server finds SAM no longer good enough, other answers of SAM change nothing."""
    other = copy_of(labelled, tmp_path)
    samfed_files.keep_answers(other, torch.full((6, 1, 32, 32), LEVELS, dtype=torch.uint8))
    for active in (True, False):
        found = [
            train_with_agreement(one, agree_request(plan, manifest, active=active, shared_weight=0.0)).tensors
            for one in (labelled, other)
        ]
        same = all(torch.equal(found[1][name], tensor) for name, tensor in found[0].items())
        assert same is not active


@dataclass
class Asked:
    """What a round asked of the training loop."""

    public: PublicSource
    terms: UnlabelledTerms
    passes: Passes


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """The calls of the training loop, which runs all the same."""
    found: list[Asked] = []
    real = agreement_module.train_semi_supervised

    def look(*args: Any) -> Any:
        found.append(Asked(args[2], args[5], args[6]))
        return real(*args)

    monkeypatch.setattr(agreement_module, "train_semi_supervised", look)
    return found


def accuracies(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Let the accuracies that a round asks for be these, one after the other."""
    waiting = iter(values)
    monkeypatch.setattr(agreement_module, "image_accuracy", lambda *_: torch.full((PUBLIC,), next(waiting)))


def test_the_unlabelled_loss_is_ramped_up(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest, asked: list[Asked]
) -> None:
    """exp(-5 (1 - t / 4)^2) with t = 0 in round 1 and 2 in round 3, times lambda_u = 0.5; whole from round 5 on."""
    for number in (1, 3, 5):
        request = agree_request(plan, manifest, number=number, ramp_rounds=4, unlabelled_weight=0.5)
        train_with_agreement(labelled, request)
    expected = [0.5 * math.exp(-5), 0.5 * math.exp(-1.25), 0.5]
    assert [one.terms.weight for one in asked] == pytest.approx(expected)


@pytest.mark.parametrize(("shared", "local", "weight"), [(0.9, 0.4, 1.0), (0.4, 0.9, 0.0), (0.5, 0.5, 0.0)])
def test_the_global_network_teaches_where_it_is_better(
    labelled: SiteContext,
    plan: FederationPlan,
    manifest: Manifest,
    asked: list[Asked],
    monkeypatch: pytest.MonkeyPatch,
    shared: float,
    local: float,
    weight: float,
) -> None:
    train_with_agreement(labelled, agree_request(plan, manifest))
    accuracies(monkeypatch, shared, local)
    train_with_agreement(labelled, agree_request(plan, manifest, number=2))
    assert [one.terms.shared_weight for one in asked] == [1.0, weight], "in round 1 there is no other"


@pytest.mark.parametrize(("own", "of_server", "gate"), [(0.4, 0.9, 1.0), (0.9, 0.4, 0.0), (0.5, 0.5, 0.0)])
def test_the_servers_advice_counts_where_it_is_better(
    labelled: SiteContext,
    plan: FederationPlan,
    manifest: Manifest,
    asked: list[Asked],
    monkeypatch: pytest.MonkeyPatch,
    own: float,
    of_server: float,
    gate: float,
) -> None:
    accuracies(monkeypatch, own, of_server)
    train_site_network(labelled, fuse_request(plan, manifest))
    assert asked[0].public.advice is not None
    assert asked[0].public.advice[:, -1].unique().tolist() == [gate]


def test_the_public_set_comes_first_where_it_is_to(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest, asked: list[Asked]
) -> None:
    """As many passes as over the own images with one network (here 1), ``fusion_epochs`` of them with its own."""
    train_with_agreement(labelled, agree_request(plan, manifest))
    train_with_agreement(labelled, agree_request(plan, manifest, public_order="first"))
    train_site_network(labelled, fuse_request(plan, manifest, public_order="first", fusion_epochs=3))
    assert [one.passes.public for one in asked] == [0, 1, 3]


def test_a_site_that_missed_the_broadcast_refuses_the_round(
    site: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    with pytest.raises(PayloadError, match="site_a: has no answers of SAM"):
        train_with_agreement(site, agree_request(plan, manifest))


def fuse_request(
    plan: FederationPlan,
    manifest: Manifest,
    number: int = 1,
    networks: dict[str, BundleSpec] | None = None,
    tensors: dict[str, Tensor] | None = None,
    **changes: Any,
) -> Envelope[FuseRequest]:
    named = {"site_a": plan.light_spec} if networks is None else networks
    facts = plan.round_facts("samfed", number)
    levels = {"levels": torch.full((PUBLIC, 1, 32, 32), 127, dtype=torch.uint8)}
    body = FuseRequest(plan.common, facts, manifest, replace(CONFIG, **changes), True, named)
    return arrived(FUSE, Envelope(body, levels if tensors is None else tensors))


def test_with_a_network_of_its_own_only_answers_travel(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    reply = train_site_network(labelled, fuse_request(plan, manifest))
    assert not reply.is_difference
    assert set(reply.tensors) == {"levels"}
    assert reply.tensors["levels"].shape == (PUBLIC, 1, 32, 32)
    assert reply.tensors["levels"].dtype == torch.uint8
    assert reply.header.update is None
    assert (reply.body.round, reply.body.steps) == (1, 2)


def test_its_network_goes_on_from_round_to_round(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    train_site_network(labelled, fuse_request(plan, manifest))
    first = samfed_files.latest_network(labelled, "samfed")
    second = train_site_network(labelled, fuse_request(plan, manifest, number=2))
    after = samfed_files.latest_network(labelled, "samfed")
    assert after.keys() == first.keys()
    far = max(float((after[name] - tensor).abs().max()) for name, tensor in first.items())
    assert 0 < far < 0.1, "two steps of Adam from there"
    again = train_site_network(labelled, fuse_request(plan, manifest, number=2))
    assert torch.equal(again.tensors["levels"], second.tensors["levels"])


def test_a_round_that_names_no_network_for_the_site_is_refused(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    with pytest.raises(PayloadError, match="server: named no network for site_a"):
        train_site_network(labelled, fuse_request(plan, manifest, networks={"site_b": plan.light_spec}))


@pytest.mark.parametrize(
    "tensors",
    [{}, {"levels": torch.zeros(PUBLIC - 1, 1, 32, 32, dtype=torch.uint8)}, {"levels": torch.zeros(PUBLIC, 1, 32, 32)}],
)
def test_answers_that_do_not_fit_the_public_set_are_refused(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest, tensors: dict[str, Tensor]
) -> None:
    with pytest.raises(PayloadError, match="server"):
        train_site_network(labelled, fuse_request(plan, manifest, tensors=tensors))
    assert samfed_files.latest_network(labelled, "samfed") == {}


def test_the_network_that_is_scored_is_that_of_the_last_round(
    labelled: SiteContext, plan: FederationPlan, manifest: Manifest
) -> None:
    body = EvaluateRequest(
        plan.common, plan.teacher_spec, None, {"samfed": "light"}, site_networks={"site_a": plan.light_spec}
    )
    assert site_network(labelled, body, "samfed") is None
    train_site_network(labelled, fuse_request(plan, manifest))
    network = site_network(labelled, body, "samfed")
    assert network is not None
    state = network.state_dict()
    kept = samfed_files.latest_network(labelled, "samfed")
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())
    assert site_network(labelled, replace(body, site_networks={}), "samfed") is None
