# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_public`` (the public set, once) and ``dsf_unlabelled``: rounds of FixMatch, Mean Teacher and LSSL.

The site's own labels, if it has any, are never read. Every step is on a public batch and an own one, but for LSSL,
whose passes over the public set come first. Files in ``mean_teacher/``: the site's teacher and the steps it has
followed, after each of the last rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dsfedmed.algorithms.agreement import ramp_up
from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.tensors import Weights, under
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.round_files import before_round, keep_round
from dsfedmed.federated.site.tasks.local_training import keep_optimizer, restore_optimizer
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.synthetic import open_set, public_arrays
from dsfedmed.federated.site.uplink import announce
from dsfedmed.federated.wire.message import Envelope, ReplyHeader
from dsfedmed.federated.wire.requests.semi_supervised import PublicReply, PublicRequest
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.requests.unlabelled import UnlabelledRequest
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.training.baselines.unlabelled import Confident, MeanTeacher, SelfLabelled
from dsfedmed.training.baselines.unlabelled_options import FixMatchOptions, LsslOptions, MeanTeacherOptions
from dsfedmed.training.semi_supervised.both_sources import OwnRule, Passes, Steps, UnlabelledSource, train_on_both
from dsfedmed.training.semi_supervised.public import PublicSource
from dsfedmed.training.task import TrainingTask

TEACHERS, TEACHER, STEPS = "mean_teacher", "teacher/", "steps"


def keep_public_set(site: SiteContext, request: Envelope[PublicRequest]) -> Envelope[PublicReply]:
    """Verify the public set that was pulled; it stays in the site's folder."""
    return Envelope(PublicReply(len(open_set(site, request.body.files.manifest, None))))


def train_unlabelled(site: SiteContext, request: Envelope[UnlabelledRequest]) -> Envelope[TrainReply]:
    """Train the global network on public labels and as the method has it on the own images; return the difference."""
    body = request.body
    network = build(site, NetworkSpecs(body.common.light), "light")
    arrived = resolve_weights(body.round, request.tensors, site.folder, shapes_of(trained_tensors(network)))
    begun = Begun(site, body, network, load(network, arrived, site.config.device))
    if isinstance(body.config, FixMatchOptions):
        return _fixmatch(begun, body.config)
    if isinstance(body.config, MeanTeacherOptions):
        return _mean_teacher(begun, body.config)
    return _lssl(begun, body.config)


def _fixmatch(begun: Begun, config: FixMatchOptions) -> Envelope[TrainReply]:
    """Let the network's own sure answers teach."""
    rule = Confident(config.threshold, config.unlabelled_weight)
    steps = begun.train(rule)
    return begun.trained(steps, {"sure_pixels": rule.share})


def _mean_teacher(begun: Begun, config: MeanTeacherOptions) -> Envelope[TrainReply]:
    """Let the site's teacher teach, which follows every step and stays."""
    site, facts = begun.site, begun.body.round
    folder, stem = site.folder / TEACHERS, f"{facts.training}-"
    kept = before_round(folder, stem, facts.round)
    teacher = site.bundle(begun.body.common.light).network()
    load(teacher, under(kept, TEACHER) or begun.start, site.config.device)
    weight = config.unlabelled_weight * ramp_up(facts.round - 1, config.ramp_rounds)
    rule = MeanTeacher(teacher, config.decay, weight, int(kept[STEPS]) if kept else 0)
    steps = begun.train(rule)
    left = {f"{TEACHER}{name}": tensor for name, tensor in copied_tensors(teacher).items()}
    keep_round(folder, stem, facts.round, {**left, STEPS: torch.tensor(rule.steps)})
    return begun.trained(steps, {"consistency_weight": weight})


def _lssl(begun: Begun, config: LsslOptions) -> Envelope[TrainReply]:
    """Train on the public set first; then let the network's own answers teach where it trusts itself."""
    rule = SelfLabelled(config.flip, config.gate, config.unlabelled_weight)
    steps = begun.train(rule, public_first=True)
    return begun.trained(steps, {"images_trusted": rule.share})


@dataclass(frozen=True)
class Begun:
    """A round whose weights have arrived.

    Attributes:
        site: whose round.
        body: the request.
        network: with these weights; it is trained in place.
        start: these weights, float32.
    """

    site: SiteContext
    body: UnlabelledRequest
    network: nn.Module
    start: Weights

    def train(self, rule: OwnRule, public_first: bool = False) -> Steps:
        """Train the network on the public set and the own images, as many passes over these as the round has.

        ``public_first``: as many passes over the public set come before them, instead of a public batch in every step.
        """
        site, common, facts = self.site, self.body.common, self.body.round
        bundle, public = site.bundle(common.light), public_arrays(site, self.body.public)
        optimizer = bundle.optimizer(self.network.parameters())
        for group in optimizer.param_groups:
            group["lr"] *= self.body.config.rate_factor * facts.rules.rate_factor
        restore_optimizer(site, facts, optimizer, facts.training)
        task = TrainingTask(
            common.num_classes, common.nested, bundle.loss(), bundle.augmentation(), facts.batch_size, common.autocast,
            where=site.name,
        )  # fmt: skip
        seed = derive_seed(common.seed, site.name, facts.training, facts.round)
        passes = Passes(facts.epochs, seed, facts.epochs if public_first else 0)
        labelled, own = PublicSource(public.images, public.labels), site.images("training", common.light)
        done = train_on_both(self.network, optimizer, labelled, UnlabelledSource(own), task, rule, passes)
        keep_optimizer(site, facts, optimizer, facts.training)
        return done

    def trained(self, steps: Steps, scalars: dict[str, float]) -> Envelope[TrainReply]:
        """Return the reply: the difference from what arrived, and its numbers; ``scalars`` are for the tracking."""
        facts, loss = self.body.round, steps.public_loss + steps.own_loss
        told = {f"{facts.training}/{name}": value for name, value in {"loss": steps.own_loss, **scalars}.items()}
        header = ReplyHeader(scalars=told, step=facts.round, update=announce(facts, self.body.common.precision))
        update = difference(trained_tensors(self.network), self.start)
        return Envelope(TrainReply(facts.round, None, loss, steps.steps), update, True, header)
