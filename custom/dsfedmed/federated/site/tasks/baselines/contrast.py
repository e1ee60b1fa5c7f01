# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_contrast``: a round of MOON. What goes back is FedAvg's update; the site's last network stays.

Files in ``contrast/``: the site's network after each of the last rounds. A site's first round has no such network and
no contrast (in the paper's code it is a copy of the start, which gives the constant ln 2).
"""

from __future__ import annotations

from torch import nn

from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.round_files import before_round, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, fit_in_round
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import ContrastRequest, TrainReply
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.training.baselines.contrast import in_contrast
from dsfedmed.training.light import LocalTraining, TrainingSummary

FOLDER = "contrast"


def train_in_contrast(site: SiteContext, request: Envelope[ContrastRequest]) -> Envelope[TrainReply]:
    """Validate the weights that arrived, train with the contrast, and return the difference."""
    body, facts = request.body, request.body.round
    network = build(site, NetworkSpecs(body.common.light), "light")
    begun = begin_round(site, body.common, facts, request.tensors, network)
    if facts.epochs == 0:
        return begun.validated()
    summary = _fit(begun.data, body, network)
    keep_round(site.folder / FOLDER, f"{facts.training}-", facts.round, copied_tensors(network))
    return begun.trained(summary.mean_loss, summary.steps)


def _fit(data: SiteData, body: ContrastRequest, network: nn.Module) -> TrainingSummary:
    site, facts, bundle = data.site, body.round, data.site.bundle(body.common.light)
    optimizer, training = bundle.optimizer(network.parameters()), LocalTraining(facts.epochs, rules=facts.rules)
    before = before_round(site.folder / FOLDER, f"{facts.training}-", facts.round)
    if not before or not body.contrast_weight:
        return fit_in_round(data, facts, network, optimizer, training)
    shared, previous = bundle.network(), bundle.network()
    load(shared, copied_tensors(network), site.config.device)
    load(previous, before, site.config.device)
    with in_contrast(network, shared, previous, bundle.loss(), body.contrast_weight, body.temperature) as loss:
        return fit_in_round(data, facts, network, optimizer, training, loss)
