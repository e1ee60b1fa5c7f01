# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_local_layers``: a round of FedBN. The site's normalisation layers stay; everything else is averaged.

Files in ``local_layers/``: the normalisation after each of the last rounds, and the whole network that was best by the
site's own validation, which is scored in the end and written as a bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from dsfedmed.algorithms.local_layers import local_names
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.round_files import best_weights
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.own_release import write_own_release
from dsfedmed.federated.site.tasks.round_parts import begin_divided
from dsfedmed.federated.site.tasks.train import fit_round
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest

FOLDER, NOTE = "local_layers", "a site's own network, of which a part never left it"


def train_shared(site: SiteContext, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    """Do the round of FedBN."""
    return train_but_for(local_names, site, request)


def train_but_for(
    names: Callable[[nn.Module], frozenset[str]], site: SiteContext, request: Envelope[TrainRequest]
) -> Envelope[TrainReply]:
    """Validate what is shared with the site's own ``names``, train all, and return the difference of what is shared."""
    body = request.body
    network = build(site, NetworkSpecs(body.common.light), body.network)
    local, folder = names(network), site.folder / FOLDER
    begun = begin_divided(site, body.common, body.round, request.tensors, network, local, folder)
    if body.round.epochs == 0:
        return begun.validated()
    summary = fit_round(begun.data, body, network)
    return begun.trained(summary.mean_loss, summary.steps)


def best_network(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return the network with the site's own part that validated best; None where the site never trained."""
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
