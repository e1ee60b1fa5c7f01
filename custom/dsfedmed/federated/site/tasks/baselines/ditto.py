# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_ditto``: a round of Ditto. The global network is trained as in FedAvg; the site's own one stays.

    own network:  v <- v - eta (grad F_k(v) + lambda (v - w))        w: the global weights as they arrived

Files in ``ditto/``: the own network after each of the last rounds, and the best by the site's own validation, which is
scored in the end and written as a bundle. It takes as many passes as the global one, with an optimiser of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from dsfedmed.algorithms.proximal import proximal_term
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.round_files import before_round, best_weights, keep_best, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, fit_in_round, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.own_release import write_own_release
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import DittoRequest, TrainReply
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.training.light import LocalTraining, TrainingSummary
from dsfedmed.training.task import Loss

FOLDER, OWN, NOTE = "ditto", "own", "a site's own network of a Ditto federation"


def train_both(site: SiteContext, request: Envelope[DittoRequest]) -> Envelope[TrainReply]:
    """Validate the weights that arrived, train them and the site's own, and return the former's difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    network = build(site, NetworkSpecs(common.light), "light")
    begun = begin_round(site, common, facts, request.tensors, network)
    if facts.epochs == 0:
        return begun.validated()
    optimizer = site.bundle(common.light).optimizer(network.parameters())
    training = LocalTraining(facts.epochs, rules=facts.rules)
    summary = fit_in_round(begun.data, facts, network, optimizer, training)
    own = _train_own(begun.data, body, begun.start, training)
    return begun.trained(summary.mean_loss, summary.steps + own.steps)


def _train_own(data: SiteData, body: DittoRequest, start: Weights, training: LocalTraining) -> TrainingSummary:
    """Train the site's own network, which begins as the global one, and keep it."""
    site, facts, folder = data.site, body.round, data.site.folder / FOLDER
    stem, bundle = f"{facts.training}-", site.bundle(body.common.light)
    network = bundle.network()
    load(network, before_round(folder, stem, facts.round) or start, site.config.device)
    weights = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    trained, anchor = [p for _, p in weights], [start[name].to(site.config.device) for name, _ in weights]
    loss: Loss = bundle.loss()

    def pulled(logits: Tensor, target: Tensor) -> Tensor:
        return loss(logits, target) + body.pull * proximal_term(trained, anchor)

    optimizer = bundle.optimizer(network.parameters())
    summary = fit_in_round(data, facts, network, optimizer, training, pulled, OWN)
    keep_round(folder, stem, facts.round, copied_tensors(network))
    keep_best(folder, facts.training, facts.round, validate(data, network), copied_tensors(network))
    return summary


def best_network(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return the site's own network with the best validation; None where the site never trained one."""
    kept = best_weights(site.folder / FOLDER, training)
    if not kept:
        return None
    network = build(site, NetworkSpecs(body.common.light), "light")
    load(network, kept, site.config.device)
    return network


def release_own(site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]) -> Path:
    """Write that network as a bundle with its figures on the site's own test part."""
    bundle = site.bundle(body.common.light)
    return write_own_release(site, body.common, bundle, network, cases, f"{FOLDER}/release", NOTE)
