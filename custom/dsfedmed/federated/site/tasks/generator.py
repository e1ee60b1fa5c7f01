# SPDX-License-Identifier: Apache-2.0
"""Tasks of the generator: a round of the base, the site's own branch, and masks to sample from."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dsfedmed.data.labels import to_channels
from dsfedmed.devices import on_device, release_memory
from dsfedmed.exchange.compression import difference, pack, unpack
from dsfedmed.federated.party.generator_base import check_generator_base, load_generator_base
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Message
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.fit import FitSteps, MaskedImages, fit_base, fit_branch
from dsfedmed.generator.mask_sampler import deform_label_maps
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.seeds import derive_seed


def base(site: SiteContext, request: Message) -> Message:
    """Train the common base for some steps on the site's images and return the difference."""
    info, device = request.info, site.config.device
    config = GeneratorConfig.from_dict(info["generator"])
    images = site.arrays("training", info["light"]).images
    start = unpack(request.tensors)
    network = on_device(build_base(config), device)
    network.load_state_dict(start)
    loss = fit_base(
        network,
        images,
        config,
        FitSteps(info["steps"], info["first_step"], info["total_steps"]),
        derive_seed(info["seed"], site.name, "base", info["round"]),
        on_step=lambda step, _: site.on_progress(step, info["steps"]),
    )
    update = pack(difference(network.state_dict(), start), info["precision"], site.name)
    scalars = {"base_loss": loss}
    return Message({"weight": len(images), "loss": loss, "round": info["round"], "scalars": scalars}, update, True)


def branch(site: SiteContext, request: Message) -> Message:
    """Fit the site's ControlNet branch on its own pairs, the generator_base frozen; only what was trained leaves."""
    info = request.info
    config = GeneratorConfig.from_dict(info["generator"])
    check_generator_base(info["generator_base"], config, site.config, site.folder, site.name)
    loss, state = _fit_branch(site, info, config, unpack(request.tensors))
    release_memory()
    return Message({"loss": loss, "scalars": {"branch_loss": loss}}, state)


def _fit_branch(
    site: SiteContext, info: dict[str, Any], config: GeneratorConfig, weights: dict[str, Tensor]
) -> tuple[float, dict[str, Tensor]]:
    arrays = site.arrays("training", info["light"])
    generator_base = load_generator_base(config, site.config, weights)
    network = build_branch(generator_base, config, seed=derive_seed(info["seed"], "branch"))
    network = on_device(network, site.config.device)
    channels = to_channels(arrays.labels, config.num_classes, info["nested"])
    seed = derive_seed(info["seed"], site.name, "branch")
    steps = info["steps"]
    loss = fit_branch(
        generator_base,
        network,
        MaskedImages(arrays.images, channels),
        config,
        steps,
        seed,
        lambda step, _: site.on_progress(step, steps),
    )
    return loss, pack(branch_state(network), info["precision"], site.name)


def masks(site: SiteContext, request: Message) -> Message:
    """Return label maps to sample from: deformed ones, unless the site allows its drawn ones to leave."""
    info = request.info
    arrays = site.arrays("training", info["light"])
    if site.config.send_drawn_masks:
        label_maps, kind = arrays.labels[: info["count"]], "drawn"
    else:
        seed = derive_seed(info["seed"], site.name, "masks")
        label_maps, kind = deform_label_maps(arrays.labels, info["count"], seed), "deformed"
    return Message({"kind": kind}, pack_label_maps(label_maps, info["num_classes"]))
