# SPDX-License-Identifier: Apache-2.0
"""Tasks of SAM-Fed: ``dsf_label`` (SAM's answers, once), ``dsf_agree`` (a homogeneous round), ``dsf_fuse`` (RF).

The site's own labels, if it has any, are never read. SAM is run once over the images, without augmentation; its
answers stay in the site's folder as 8-bit levels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.agreement import ramp_up
from dsfedmed.algorithms.regularity import image_accuracy
from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.protocol import predict_probabilities
from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.tasks import samfed_files
from dsfedmed.federated.site.tasks.local_training import keep_optimizer, restore_optimizer
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.synthetic import open_set, public_arrays
from dsfedmed.federated.site.uplink import announce
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope, ReplyHeader
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.semi_supervised import (
    AgreeReply,
    AgreeRequest,
    FuseRequest,
    LabelReply,
    LabelRequest,
)
from dsfedmed.federated.wire.specs import BundleSpec, RoundFacts, RunFacts
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_tensors
from dsfedmed.training.distillation.soft_labels import (
    LEVELS,
    SoftLabelOptions,
    decode_soft,
    encode_soft,
    teacher_soft_labels,
)
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.semi_supervised.both_sources import Passes, UnlabelledSource
from dsfedmed.training.semi_supervised.loop import Summary, UnlabelledTerms, train_semi_supervised
from dsfedmed.training.semi_supervised.public import PublicSource
from dsfedmed.training.task import TrainingTask


@dataclass(frozen=True)
class Shared:
    """The global network that the site's own learns from, and how much; none for sites with networks of their own."""

    network: nn.Module | None = None
    weight: float = 0.0


def pseudo_label(site: SiteContext, request: Envelope[LabelRequest]) -> Envelope[LabelReply]:
    """Run SAM over the site's images and keep its answers; verify the public set that came with it."""
    body, common = request.body, request.body.common
    images = site.images("training", common.light)
    public = open_set(site, body.files.manifest, None)
    teacher = cast(PromptlessSam, build(site, NetworkSpecs(common.light, body.teacher, body.teacher_init), body.kind))
    load(teacher, request.tensors, site.config.device)
    pool = TensorPool(images, torch.zeros(len(images), 1, *images.shape[2:], dtype=torch.uint8))
    options = SoftLabelOptions(images.shape[-1], body.config.teacher_flips, common.autocast)
    levels = teacher_soft_labels(teacher, pool, range(len(images)), options)
    samfed_files.keep_answers(site, levels)
    sure = torch.maximum(levels, LEVELS - levels).float().mean() / LEVELS
    return Envelope(LabelReply(len(images), len(public), min(float(sure), 1.0)))


def train_with_agreement(site: SiteContext, request: Envelope[AgreeRequest]) -> Envelope[AgreeReply]:
    """Train the global network on public labels and agreed pseudo-labels, and return the difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    network = build(site, NetworkSpecs(common.light), "light")
    arrived = resolve_weights(facts, request.tensors, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    public = public_arrays(site, body.public)
    shared = copy.deepcopy(network).eval()
    weight = body.config.shared_weight * _global_is_better(site, body, shared, public)
    optimizer = site.bundle(common.light).optimizer(network.parameters())
    for group in optimizer.param_groups:
        group["lr"] *= body.config.rate_factor * facts.rules.rate_factor
    source = PublicSource(public.images, public.labels)
    summary = _train(site, body, network, optimizer, source, Shared(shared, weight))
    samfed_files.keep_network(site, facts, samfed_files.LOCAL, copied_tensors(network))
    reply, header = _reply(facts, summary), _header(facts, summary, common)
    return Envelope(reply, difference(trained_tensors(network), start), True, header)


def train_site_network(site: SiteContext, request: Envelope[FuseRequest]) -> Envelope[AgreeReply]:
    """Train the site's own network under the server's answers (RF); return its answers to the public images (RC)."""
    body, facts, common = request.body, request.body.round, request.body.common
    own_bundle = _own_bundle(site, body.networks)
    public = public_arrays(site, body.public)
    network = _network_before(site, own_bundle, common, facts)
    optimizer = site.bundle(own_bundle).optimizer(network.parameters())
    images, labels = public.images, public.labels
    if set(request.tensors) != {"levels"}:
        raise PayloadError("server", "sent no answers to the public images", SAME_VERSION)
    advice = decode_soft(request.tensors["levels"], len(public), common.num_classes, "server")
    target = to_channels(labels, common.num_classes, common.nested)
    own = image_accuracy(_answers(network, images, common, facts), target)
    gate = (image_accuracy(advice, target) > own).float().view(-1, 1, 1, 1).expand(-1, 1, *advice.shape[2:])
    source = PublicSource(images, labels, torch.cat([advice, gate], dim=1))
    summary = _train(site, body, network, optimizer, source, Shared())
    samfed_files.keep_network(site, facts, samfed_files.OWN, copied_tensors(network))
    levels = encode_soft(_answers(network, images, common, facts))
    return Envelope(_reply(facts, summary), {"levels": levels}, header=_header(facts, summary, None))


def site_network(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return the site's own network of its last round, or None where it has none."""
    weights = samfed_files.latest_network(site, training)
    if not weights or site.name not in body.site_networks:
        return None
    network = site.bundle(body.site_networks[site.name]).network()
    load(network, weights, site.config.device)
    return network


def _train(
    site: SiteContext,
    body: AgreeRequest | FuseRequest,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    shared: Shared,
) -> Summary:
    """Take up optimiser and agreement of the round before, train, and keep both."""
    common, facts, config = body.common, body.round, body.config
    bundle, images = site.bundle(common.light), site.images("training", common.light)
    task = TrainingTask(
        common.num_classes, common.nested, bundle.loss(), bundle.augmentation(), facts.batch_size, common.autocast,
        where=site.name,
    )  # fmt: skip
    restore_optimizer(site, facts, optimizer, facts.training)
    unlabelled = config.unlabelled_weight * ramp_up(facts.round - 1, config.ramp_rounds) * body.teacher_active
    before = samfed_files.agreement(site, facts, common.num_classes)
    terms = UnlabelledTerms(config.agreement, before, unlabelled, shared.weight, shared.network)
    first = config.public_passes(facts.epochs, isinstance(body, FuseRequest))
    passes = Passes(facts.epochs, derive_seed(common.seed, site.name, facts.training, facts.round), first)
    own = UnlabelledSource(images, samfed_files.answers(site, len(images), common.num_classes))
    summary = train_semi_supervised(network, optimizer, public, own, task, terms, passes)
    keep_optimizer(site, facts, optimizer, facts.training)
    samfed_files.keep_agreement(site, facts, summary.state)
    return summary


def _reply(facts: RoundFacts, summary: Summary) -> AgreeReply:
    """Return the facts of a round: losses, steps, and how far SAM and the network agree."""
    loss = summary.public_loss + summary.own_loss
    return AgreeReply(facts.round, None, loss, summary.steps, agreement=min(float(summary.state.rate), 1.0))


def _header(facts: RoundFacts, summary: Summary, packed: RunFacts | None) -> ReplyHeader:
    """Return what goes with it: numbers for the tracking, and how an update is to be packed."""
    name = facts.training
    scalars = {f"{name}/agreement": float(summary.state.rate), f"{name}/loss": summary.own_loss}
    update = announce(facts, packed.precision) if packed else None
    return ReplyHeader(scalars=scalars, step=facts.round, update=update)


def _answers(network: nn.Module, images: Tensor, common: RunFacts, facts: RoundFacts) -> Tensor:
    return predict_probabilities(network, images, common.num_classes, 2 * facts.batch_size)


def _global_is_better(site: SiteContext, body: AgreeRequest, shared: nn.Module, public: SiteArrays) -> float:
    """Return 1 if the global network is better on the public set than the site's own of the round before, else 0."""
    common, facts = body.common, body.round
    path = samfed_files.round_file(site, facts.training, samfed_files.LOCAL, facts.round - 1)
    if not path.exists():
        return 1.0
    local = build(site, NetworkSpecs(common.light), "light")
    load(local, read_tensors(path), site.config.device)
    target = to_channels(public.labels, common.num_classes, common.nested)
    scores = [
        image_accuracy(_answers(network, public.images, common, facts), target).mean() for network in (shared, local)
    ]
    return float(scores[0] > scores[1])


def _own_bundle(site: SiteContext, networks: dict[str, BundleSpec]) -> BundleSpec:
    if site.name not in networks:
        raise PayloadError("server", f"named no network for {site.name}", SAME_VERSION)
    return networks[site.name]


def _network_before(site: SiteContext, spec: BundleSpec, common: RunFacts, facts: RoundFacts) -> nn.Module:
    """Return the site's network of its last round before this one; at first, a random one of its own."""
    network = site.bundle(spec).network(seed=derive_seed(common.seed, site.name, "own network"))
    if earlier := samfed_files.latest_network(site, facts.training, before=facts.round):
        load(network, earlier, site.config.device)
    return network.to(site.config.device)
