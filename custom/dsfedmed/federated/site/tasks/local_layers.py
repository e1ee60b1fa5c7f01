# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_local_layers``: a round of FedBN. The site's normalisation layers stay; everything else is averaged.

Files in ``local_layers/``: the normalisation after each of the last rounds, and the whole network that was best by the
site's own validation, which is scored in the end and written as a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from dsfedmed.algorithms.local_layers import divide, local_names
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.exchange.compression import difference, unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.round_files import before_round, best_weights, keep_best, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.own_release import write_own_release
from dsfedmed.federated.site.tasks.round_parts import round_header
from dsfedmed.federated.site.tasks.train import fit_round
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.networks.trained_tensors import trained_tensors

FOLDER, NOTE = "local_layers", "a site's own network of a FedBN federation"


def train_shared(site: SiteContext, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    """Validate the shared layers with the site's own normalisation, train all, and return the shared difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    folder, stem, done = site.folder / FOLDER, f"{facts.training}-", facts.round - (facts.epochs > 0)
    network = build(site, NetworkSpecs(common.light), body.network)
    local = local_names(network)
    shared, _ = divide(trained_tensors(network), local)
    arrived = resolve_weights(facts, request.tensors, site.folder, shapes_of(shared))
    start = unpack(check_tensors(arrived, specs_of(shared), "server"))
    own = before_round(folder, stem, done + 1)
    network.load_state_dict({**start, **own}, strict=False)
    data = SiteData(site, common, facts.batch_size)
    dice = validate(data, network.to(site.config.device))
    if own:
        keep_best(folder, facts.training, done, dice, _whole(network))
    if facts.epochs == 0:
        return Envelope(TrainReply(facts.round, dice))
    summary = fit_round(data, body, network)
    trained, _ = divide(trained_tensors(network), local)
    keep_round(folder, stem, facts.round, divide(_whole(network), local)[1])
    reply = TrainReply(facts.round, dice, summary.mean_loss, summary.steps)
    return Envelope(reply, difference(trained, start), True, round_header(facts, reply, common.precision))


def best_network(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return the network with the site's own normalisation that validated best; None where the site never trained."""
    kept = best_weights(site.folder / FOLDER, training)
    if not kept:
        return None
    network = build(site, NetworkSpecs(body.common.light), body.networks[training])
    network.load_state_dict(kept)
    return network.to(site.config.device)


def release_own(site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]) -> Path:
    """Write that network as a bundle with its figures on the site's own test part."""
    bundle = site.bundle(body.common.light)
    return write_own_release(site, body.common, bundle, network, cases, f"{FOLDER}/release", NOTE)


def _whole(network: nn.Module) -> Weights:
    """Return the whole state dict as copies on the CPU, which further training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
