# SPDX-License-Identifier: Apache-2.0
"""A site's round of FedBN: its batch normalisation stays; a missed round; the same round asked twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.local_layers import divide, local_names, statistics_names
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines import statistics
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.site.tasks.local_layers import best_network, train_shared
from dsfedmed.federated.site.tasks.local_training import SiteData, validate
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.tasks import LOCAL_LAYERS, TRAIN
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

OWN = {"1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}


def toy(_: BundleDefinition, seed: int = 0) -> nn.Module:
    """A network with one batch normalisation, in place of the bundle's; it starts by finding lesions everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = nn.Conv2d(4, 1, 1)
        last.bias.data.fill_(1.0)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(), last)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (folder,) = make_demo_sites(tmp_path_factory.mktemp("images"), 0, ("site_a",), training=6, validation=3, test=2)
    return folder


@pytest.fixture
def site(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> SiteContext:
    monkeypatch.setattr(BundleDefinition, "network", toy)
    monkeypatch.setattr(BundleDefinition, "optimizer", lambda _, parameters: torch.optim.Adam(parameters, lr=0.05))
    return context(images, tmp_path / "work")


def context(images: Path, folder: Path) -> SiteContext:
    """A site that has just started."""
    site_module._datalist.cache_clear()
    return SiteContext("site_a", PartyConfig(data=images, bundles=BUNDLES), folder)


@pytest.fixture
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32", "epochs_per_round": 2}))


@pytest.fixture
def start(site: SiteContext, plan: FederationPlan) -> Weights:
    network = site.bundle(plan.light_spec).network()
    return divide(copied_tensors(network), local_names(network))[0]


def ask(plan: FederationPlan, weights: Weights, number: int, **changes: Any) -> Envelope[TrainRequest]:
    facts = replace(plan.round_facts("fedbn", number), **changes)
    tensors = {WEIGHTS + name: tensor for name, tensor in weights.items()}
    return Envelope(TrainRequest(plan.common, facts, "light", plan.teacher_spec), tensors)


def asked_to_score(plan: FederationPlan, own: str = LOCAL_LAYERS.name) -> Envelope[EvaluateRequest]:
    server = {f"fedbn/{name}": tensor for name, tensor in copied_tensors(plan.light_network()).items()}
    body = EvaluateRequest(plan.common, plan.teacher_spec, None, {"fedbn": "light"}, own={"fedbn": own})
    return Envelope(body, server)


def kept(site: SiteContext, name: str) -> Weights:
    return read_tensors(site.folder / "local_layers" / f"{name}.safetensors")


def run_rounds(site: SiteContext, plan: FederationPlan, weights: Weights, numbers: range) -> Weights:
    for number in numbers:
        weights = add(weights, train_shared(site, ask(plan, weights, number)).tensors)
    return weights


def dice_of(site: SiteContext, plan: FederationPlan, state: Weights) -> float:
    network = site.bundle(plan.light_spec).network()
    network.load_state_dict(state, strict=False)
    return validate(SiteData(site, plan.common, plan.settings.light.batch_size), network)


def test_a_round_sends_the_shared_layers_and_keeps_the_normalisation(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    reply = train_shared(site, ask(plan, start, 1))
    assert reply.is_difference
    assert set(reply.tensors) == set(start) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert all(float(tensor.abs().max()) > 0 for tensor in reply.tensors.values())
    own = kept(site, "fedbn-0001")
    assert set(own) == OWN
    assert int(own["1.num_batches_tracked"]) == 4, "two passes of two steps"
    fresh = site.bundle(plan.light_spec).network().state_dict()
    assert all(not torch.equal(own[name], fresh[name]) for name in OWN)
    assert reply.body == TrainReply(1, dice_of(site, plan, start), reply.body.loss, 4)


def test_a_round_goes_on_from_the_sites_own_normalisation(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    weights = run_rounds(site, plan, start, range(1, 3))
    second = kept(site, "fedbn-0002")
    assert int(second["1.num_batches_tracked"]) == 8, "it counts on from the round before"
    reply = train_shared(site, ask(plan, weights, 3))
    assert reply.body.validation == dice_of(site, plan, {**weights, **second})
    assert reply.body.validation != dice_of(site, plan, weights), "with new layers it would be another"
    only_validated = train_shared(site, ask(plan, weights, 3, epochs=0))
    assert only_validated.body == TrainReply(3, dice_of(site, plan, {**weights, **kept(site, "fedbn-0003")}))
    assert not only_validated.tensors


def test_the_same_round_again_gives_the_same_bits_after_a_restart(
    site: SiteContext, plan: FederationPlan, start: Weights, images: Path
) -> None:
    weights = run_rounds(site, plan, start, range(1, 3))
    first, own = train_shared(site, ask(plan, weights, 3)), kept(site, "fedbn-0003")
    again = train_shared(context(images, site.folder), ask(plan, weights, 3))
    assert again.body == first.body
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in first.tensors.items())
    assert all(torch.equal(kept(site, "fedbn-0003")[name], tensor) for name, tensor in own.items())


def test_a_site_that_missed_rounds_goes_on_from_its_last_normalisation(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    weights = run_rounds(site, plan, start, range(1, 2))
    train_shared(site, ask(plan, weights, 5))
    assert int(kept(site, "fedbn-0005")["1.num_batches_tracked"]) == 8


def test_old_rounds_are_removed(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    run_rounds(site, plan, start, range(1, 7))
    files = sorted(path.stem for path in (site.folder / "local_layers").glob("fedbn-0*.safetensors"))
    assert files == [f"fedbn-{number:04d}" for number in range(7 - CACHED_ROUNDS, 7)]


def test_the_best_network_by_the_sites_own_validation_is_the_one_that_is_scored(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    request = asked_to_score(plan).body
    assert best_network(site, request, "fedbn") is None
    weights, dice, states = start, {}, {}
    for number in range(1, 5):
        weights = add(weights, train_shared(site, ask(plan, weights, number)).tensors)
        dice[number] = train_shared(site, ask(plan, weights, number, epochs=0)).body.validation
        states[number] = {**weights, **kept(site, f"fedbn-{number:04d}")}
    assert len(set(dice.values())) == 4, "no two rounds are equally good"
    best = max(dice, key=dice.__getitem__)
    known = read_json(site.folder / "local_layers" / "fedbn-best.json")
    assert known == {"round": best, "validation_dice": dice[best]}
    network = best_network(site, request, "fedbn")
    assert network is not None
    assert all(torch.equal(tensor, states[best][name]) for name, tensor in network.state_dict().items())


def test_a_round_of_silobn_sends_scale_and_shift_and_keeps_the_statistics(
    site: SiteContext, plan: FederationPlan
) -> None:
    network = site.bundle(plan.light_spec).network()
    start = divide(copied_tensors(network), statistics_names(network))[0]
    assert set(start) == {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"}
    replies = [statistics.train_shared(site, ask(plan, start, 1))]
    assert set(kept(site, "fedbn-0001")) == {name for name in OWN if name not in start}
    assert set(replies[0].tensors) == set(start)
    weights = add(start, replies[0].tensors)
    replies.append(statistics.train_shared(site, ask(plan, weights, 2, epochs=0)))
    assert replies[1].body.validation == dice_of(site, plan, {**weights, **kept(site, "fedbn-0001")})


def test_a_site_that_took_no_part_in_silobn_takes_statistics_of_its_own_images(
    site: SiteContext, plan: FederationPlan
) -> None:
    """Of the six training images in one batch: the mean and variance over them of what the layer gets."""
    network = site.bundle(plan.light_spec).network()
    statistics.adapt(site, asked_to_score(plan).body, network)
    seen = network[0](site.arrays("training", plan.light_spec).images).transpose(0, 1).flatten(1)
    assert torch.allclose(network[1].running_mean, seen.mean(1), atol=1e-5)
    assert torch.allclose(network[1].running_var, seen.var(1), atol=1e-5)
    scores = []
    for task in ("dsf_local_statistics", LOCAL_LAYERS.name):
        request = asked_to_score(plan, task)
        request.tensors["fedbn/3.bias"] = torch.zeros(1)  # it no longer finds lesions everywhere
        scores.append(evaluate(site, request).body)
    assert scores[0].cases != scores[1].cases, "with the start's statistics it would be another"
    assert scores[0].site_specific == ()


def test_a_site_without_a_network_of_its_own_scores_the_servers(site: SiteContext, plan: FederationPlan) -> None:
    reply = evaluate(site, asked_to_score(plan)).body
    assert len(reply.cases["fedbn"]) == 2
    assert reply.site_specific == ()
    assert not (site.folder / "local_layers").exists()


def test_a_task_that_leaves_no_network_cannot_be_asked_for_one(site: SiteContext, plan: FederationPlan) -> None:
    with pytest.raises(PayloadError, match="dsf_train, which leaves none"):
        evaluate(site, asked_to_score(plan, TRAIN.name))


def test_whole_weights_are_refused(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    whole = {**start, "1.weight": torch.ones(4)}
    with pytest.raises(PayloadError, match=r"1\.weight"):
        train_shared(site, ask(plan, whole, 1))


def test_another_network_is_refused(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    request = ask(plan, start, 1)
    with pytest.raises(PayloadError, match="named no teacher"):
        train_shared(site, replace(request, body=replace(request.body, network="teacher")))
