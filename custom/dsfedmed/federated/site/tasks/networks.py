# SPDX-License-Identifier: Apache-2.0
"""From a network's specification in a request to the network, its loss and its optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.compression import unpack
from dsfedmed.exchange.tensors import check_tensors, specs_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.store.files import file_sha256


def build(site: SiteContext, info: dict[str, Any], kind: str) -> nn.Module:
    """Build the "light" network from the site's bundle, or the "teacher" from its sizes.

    Of the teacher, "adapted" has FedMSA's adapters and "low_rank" updates of rank r; both stand on the site's own copy
    of the foundation.
    """
    if kind == "light":
        return site.bundle(info["light"]).network()
    teacher = info["teacher"]
    init = info.get("teacher_init") or {}
    seed = init.get("seed", 0)
    network = build_promptless_sam(teacher["variant"], teacher["image_size"], teacher["num_classes"], seed=seed)
    if kind == "teacher":
        return network
    network = _with_teacher_weights(site, network, init)
    if kind == "adapted":
        return add_adapters(network)
    return with_low_rank(network, init)


def with_low_rank(network: PromptlessSam, init: dict[str, Any]) -> PromptlessSam:
    """Add the low-rank updates that a request (or the server's plan) describes under ``init``."""
    form = init["low_rank"]
    return add_lora(network, form["rank"], form["alpha"], tuple(form["layers"]), init["seed"])


def _with_teacher_weights(site: SiteContext, network: PromptlessSam, init: dict[str, Any]) -> PromptlessSam:
    """Load the site's own copy of the frozen part, which must be the server's to the last byte.

    Raises:
        ConfigError: the site has no such file, or another one.
    """
    if init["sha256"] is None:
        return network
    path = site.config.need("teacher")
    if not path.is_file() or file_sha256(path) != init["sha256"]:
        reason = "its `teacher` file is missing or is not the server's"
        raise ConfigError(site.name, reason, "Install the same file at all sites; this method does not send it")
    load_weights(network, path, "teacher", allow_head_change=True, allow_resize=True)
    return network


def load(network: nn.Module, tensors: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    """Check what arrived, load it, move the network, and return the weights in float32."""
    trained = trained_tensors(network)
    weights = unpack(check_tensors(tensors, specs_of(trained), "server"))
    network.load_state_dict(weights, strict=False)
    network.to(device)
    return weights


def trained_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that travel: the floating-point entries of the state dict, but for frozen parameters.

    Integer counters stay home, and so do frozen parameters (``TinySam`` freezes what it never runs). Float buffers
    travel: normalisation statistics, and SAM's positional code, which has to be one and the same everywhere.
    """
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    state = network.state_dict()
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point() and name not in frozen}


def copied_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return `trained_tensors` as copies on the CPU, which further training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in trained_tensors(network).items()}


def optimizer_for(site: SiteContext, info: dict[str, Any], kind: str, network: nn.Module) -> torch.optim.Optimizer:
    """Return the bundle's optimiser for the light network, Adam with the announced rate for the teacher."""
    if kind == "light":
        return site.bundle(info["light"]).optimizer(network.parameters())
    return torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=info["learning_rate"])
