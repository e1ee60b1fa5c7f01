# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_fine_tune``: the site trains the network that the rounds gave on its own images, and keeps it.

File ``fine_tuning/own.safetensors``: the best pass by the site's own validation, the network as it came among them. It
is scored in the end and written as a bundle; what leaves are its validation Dice, its number and the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_training import SiteData
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.site.tasks.own_release import write_own_release
from dsfedmed.federated.site.tasks.train import fit_passes
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import LocalReply, LocalRequest
from dsfedmed.store.files import inside, read_tensors, write_tensors

FOLDER, OWN, NOTE = "fine_tuning", "own.safetensors", "a site's own network, fine-tuned after the rounds of FedAvg"


def fine_tune(site: SiteContext, request: Envelope[LocalRequest]) -> Envelope[LocalReply]:
    """Train what arrived on the site's images, and keep the best pass."""
    body, common = request.body, request.body.common
    network = build(site, NetworkSpecs(common.light), "light")
    load(network, under(request.tensors, WEIGHTS), site.config.device)
    best = fit_passes(SiteData(site, common, body.batch_size), body, network, FOLDER, as_it_came=True)
    write_tensors(inside(site.folder / FOLDER, OWN), best.weights)
    return Envelope(LocalReply(best.validation, best.number, best.steps))


def best_network(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return that network; None where the site never fine-tuned one."""
    path = inside(site.folder / FOLDER, OWN)
    if not path.exists():
        return None
    network = build(site, NetworkSpecs(body.common.light), body.networks[training])
    load(network, read_tensors(path), site.config.device)
    return network


def release_own(site: SiteContext, body: EvaluateRequest, network: nn.Module, cases: Sequence[CaseMetrics]) -> Path:
    """Write that network as a bundle with its figures on the site's own test part."""
    bundle = site.bundle(body.common.light)
    return write_own_release(site, body.common, bundle, network, cases, f"{FOLDER}/release", NOTE)
