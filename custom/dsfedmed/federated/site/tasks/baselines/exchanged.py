# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_amplitudes``, ``dsf_keep_amplitudes`` and ``dsf_exchanged``: FedDG's exchange of amplitudes, and a round.

Amplitudes tell of single images, of their brightness and coarse texture. They leave only where the site's own
``dsfedmed.yaml`` has `send_amplitudes: true`; a site that sends none may train with the others'.

Files in ``amplitudes/``: every site's, by their hash.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dsfedmed.algorithms.appearance.amplitude import low_amplitudes, reach
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_training import fit_in_round
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.amplitudes import (
    AMPLITUDES,
    AmplitudesReply,
    AmplitudesRequest,
    ExchangedRequest,
    KeepAmplitudesReply,
    KeepAmplitudesRequest,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.store.files import inside, read_tensors, write_tensors
from dsfedmed.training.baselines.amplitude import RandAmplitudesd
from dsfedmed.training.light import LocalTraining

FOLDER = "amplitudes"
RULE = "send_amplitudes"


def send_amplitudes(site: SiteContext, request: Envelope[AmplitudesRequest]) -> Envelope[AmplitudesReply]:
    """Return the low amplitudes of some training images, evenly chosen; no phase, no label and no name.

    Raises:
        ConfigError: the site does not permit it.
    """
    body = request.body
    if not site.config.send_amplitudes:
        reason = f"it sends no amplitude spectra of its images (the site's rule `{RULE}`)"
        fix = f"Let the site write `{RULE}: true` into its dsfedmed.yaml, or run a method that shares none"
        raise ConfigError(site.name, reason, f"{fix} (in a simulation: --send-amplitudes)")
    images = site.images("training", body.common.light)
    count = min(len(images), body.images)
    chosen = images[[index * len(images) // count for index in range(count)]]
    found = low_amplitudes(chosen, reach(body.band, images.shape[-1]))
    return Envelope(AmplitudesReply(count), {AMPLITUDES: found.float()})


def keep_amplitudes(site: SiteContext, request: Envelope[KeepAmplitudesRequest]) -> Envelope[KeepAmplitudesReply]:
    """Keep every site's amplitudes.

    Raises:
        PayloadError: they are not what the request announces, or no amplitudes.
    """
    tensors = request.tensors
    if digest(tensors) != request.body.sha256 or not all(map(_are_amplitudes, tensors.values())):
        raise PayloadError("server", "sent other tensors than the amplitudes that it announced", SAME_VERSION)
    write_tensors(_file(site, request.body.sha256), tensors)
    return Envelope(KeepAmplitudesReply(request.body.sha256))


def train_exchanged(site: SiteContext, request: Envelope[ExchangedRequest]) -> Envelope[TrainReply]:
    """Validate what arrived, train on images with the others' amplitudes, and return the difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    network = build(site, NetworkSpecs(common.light), "light")
    begun = begin_round(site, common, facts, request.tensors, network)
    if facts.epochs == 0:
        return begun.validated()
    size = site.images("training", common.light).shape[-1]
    side = 2 * reach(body.band, size) + 1
    others = _others(site, body.kept, (site.bundle(common.light).in_channels, side, side))
    optimizer = site.bundle(common.light).optimizer(network.parameters())
    training = LocalTraining(facts.epochs, rules=facts.rules)
    data = replace(begun.data, then=RandAmplitudesd(others))
    summary = fit_in_round(data, facts, network, optimizer, training)
    return begun.trained(summary.mean_loss, summary.steps)


def _others(site: SiteContext, kept: str, shape: tuple[int, ...]) -> list[Tensor]:
    """Return the other sites' amplitudes, in the order of the sites' names.

    Raises:
        PayloadError: the site was sent none, none of another site, or amplitudes of another shape.
    """
    path = _file(site, kept)
    if not path.exists():
        raise PayloadError(site.name, "it was sent no amplitudes of the other sites", "Start the run again")
    found = {name: tensor for name, tensor in read_tensors(path).items() if name != f"{AMPLITUDES}/{site.name}"}
    if not found or any(tuple(tensor.shape[1:]) != shape for tensor in found.values()):
        reason = f"sent no amplitudes of other sites of the shape {shape}"
        raise PayloadError("server", reason, "Let at least two sites send theirs, and use one version everywhere")
    return [found[name] for name in sorted(found)]


def _are_amplitudes(tensor: Tensor) -> bool:
    """Tell float32 numbers in [0, 1] of at least one image."""
    if tensor.dtype != torch.float32 or tensor.ndim != 4 or not tensor.numel():
        return False
    return bool(torch.isfinite(tensor).all()) and 0 <= float(tensor.min()) <= float(tensor.max()) <= 1


def _file(site: SiteContext, sha256: str) -> Path:
    return inside(site.folder / FOLDER, f"{sha256}.safetensors")
