# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_controlled``: a round of SCAFFOLD. Weights and control variates travel together, both ways.

Files in ``controlled/``: the site's control variate after each of the last rounds.
"""

from __future__ import annotations

from dsfedmed.algorithms.drift.control_variates import CONTROL, corrected_gradients, without_controls, zero_controls
from dsfedmed.exchange.compression import difference, unpack
from dsfedmed.exchange.tensors import check_tensors, specs_of
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.round_files import before_round, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, fit_in_round, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.round_parts import round_header
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.training.light import LocalTraining

FOLDER = "controlled"


def train_controlled(site: SiteContext, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    """Validate the weights that arrived, train with corrected gradients, and return both differences."""
    facts, common = request.body.round, request.body.common
    data, network = SiteData(site, common, facts.batch_size), build(site, NetworkSpecs(common.light), "light")
    expected = {**trained_tensors(network), **zero_controls(network)}
    arrived = resolve_weights(facts, request.tensors, site.folder, shapes_of(expected))
    start = unpack(check_tensors(arrived, specs_of(expected), "server"))
    network.load_state_dict(without_controls(start), strict=False)
    dice = validate(data, network.to(site.config.device))
    if facts.epochs == 0:
        return Envelope(TrainReply(facts.round, dice))
    folder, stem = site.folder / FOLDER, f"{facts.training}-"
    own = before_round(folder, stem, facts.round) or zero_controls(network)
    common_controls = {name: tensor for name, tensor in start.items() if name.startswith(CONTROL)}
    optimizer = site.bundle(common.light).optimizer(network.parameters())
    with corrected_gradients(network, own, common_controls) as seen:
        summary = fit_in_round(data, facts, network, optimizer, LocalTraining(facts.epochs, rules=facts.rules))
    after = seen.own_controls(own)
    keep_round(folder, stem, facts.round, after)
    update = difference(trained_tensors(network), without_controls(start)) | difference(after, own)
    reply = TrainReply(facts.round, dice, summary.mean_loss, summary.steps)
    return Envelope(reply, update, True, round_header(facts, reply, common.precision))
