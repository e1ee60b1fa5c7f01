# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_statistics`` and ``dsf_randomised``: FedRDN's mean and spread of a site's images, and a round.

A site's own statistics are over training and validation images together, as its facts' means are, and leave only where
there are `FEWEST` of them. A site with neither, which is scored only, has those of its test images; no label is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics, statistics_of
from dsfedmed.data.review.look import FEWEST
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_training import fit_in_round
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.statistics import RandomisedRequest, StatisticsReply, StatisticsRequest
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.specs import BundleSpec
from dsfedmed.training.baselines.statistics import OwnStatistics, RandStatisticsd
from dsfedmed.training.light import LocalTraining

OWN_PARTS = ("training", "validation")


def report_statistics(site: SiteContext, request: Envelope[StatisticsRequest]) -> Envelope[StatisticsReply]:
    """Report the mean and spread of the site's images.

    Raises:
        ConfigError: there are so few of them that this would tell of one.
    """
    count = sum(len(site.datalist.parts.get(part, ())) for part in OWN_PARTS)
    if count < FEWEST:
        reason = f"it has {count} training and validation images, and means of fewer than {FEWEST} tell of single ones"
        raise ConfigError(site.name, reason, "Add images, or run a method that shares no statistics")
    return Envelope(StatisticsReply(own_statistics(site, request.body.common.light)))


def train_randomised(site: SiteContext, request: Envelope[RandomisedRequest]) -> Envelope[TrainReply]:
    """Validate what arrived with the site's own statistics, train with a drawn site's, and return the difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    _require_channels(site, common.light, [*body.statistics.values(), body.onto])
    network = build(site, NetworkSpecs(common.light), "light")
    seen = OwnStatistics(network, own_statistics(site, common.light), body.onto)
    begun = begin_round(site, common, facts, request.tensors, network, seen)
    if facts.epochs == 0:
        return begun.validated()
    drawn = RandStatisticsd([body.statistics[name] for name in sorted(body.statistics)], body.onto)
    optimizer = site.bundle(common.light).optimizer(network.parameters())
    training = LocalTraining(facts.epochs, rules=facts.rules)
    summary = fit_in_round(replace(begun.data, then=drawn), facts, network, optimizer, training)
    return begun.trained(summary.mean_loss, summary.steps)


def with_own_statistics(
    site: SiteContext, spec: BundleSpec, onto: Sequence[ChannelStatistics], network: nn.Module
) -> nn.Module:
    """Return a network that is given the site's images normalised with their own statistics, in evaluation mode."""
    _require_channels(site, spec, [onto])
    return OwnStatistics(network, own_statistics(site, spec), onto).eval()


def own_statistics(site: SiteContext, spec: BundleSpec) -> tuple[ChannelStatistics, ...]:
    """Return the statistics of the site's training and validation images, or of its test images where it has neither.

    Images are prepared as the bundle does it; labels are not read.
    """
    parts = [part for part in OWN_PARTS if site.datalist.parts.get(part)] or ["test"]
    return statistics_of(torch.cat([site.images(part, spec) for part in parts]))


def _require_channels(site: SiteContext, spec: BundleSpec, sent: Sequence[Sequence[ChannelStatistics]]) -> None:
    """Raise ``PayloadError`` unless there are statistics of as many channels as the site's images have."""
    channels = site.bundle(spec).in_channels
    if len(sent) < 1 or any(len(each) != channels for each in sent):
        raise PayloadError("server", f"sent statistics of other than {channels} channels", SAME_VERSION)
