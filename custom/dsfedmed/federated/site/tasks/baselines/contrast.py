# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_contrast``: a round of MOON. What goes back is FedAvg's update; the site's last network stays.

Files in ``contrast/``: the site's network after each of the last rounds. A site's first round has no such network and
no contrast (in the paper's code it is a copy of the start, which gives the constant ln 2).
"""

from __future__ import annotations

from torch import nn

from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.round_files import before_round, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, fit_in_round, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.train import round_header
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import ContrastRequest, TrainReply
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.training.baselines.contrast import in_contrast
from dsfedmed.training.light import LocalTraining, TrainingSummary

FOLDER = "contrast"


def train_in_contrast(site: SiteContext, request: Envelope[ContrastRequest]) -> Envelope[TrainReply]:
    """Validate the weights that arrived, train with the contrast, and return the difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    data, network = SiteData(site, common, facts.batch_size), build(site, NetworkSpecs(common.light), "light")
    arrived = resolve_weights(facts, request.tensors, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    dice = validate(data, network)
    if facts.epochs == 0:
        return Envelope(TrainReply(facts.round, dice))
    summary = _fit(data, body, network)
    keep_round(site.folder / FOLDER, f"{facts.training}-", facts.round, copied_tensors(network))
    reply = TrainReply(facts.round, dice, summary.mean_loss, summary.steps)
    update = difference(trained_tensors(network), start)
    return Envelope(reply, update, True, round_header(facts, reply, common.precision))


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
