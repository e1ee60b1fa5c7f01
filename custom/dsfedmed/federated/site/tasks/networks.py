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
from dsfedmed.networks.trained_tensors import trained_tensors
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


def optimizer_for(site: SiteContext, info: dict[str, Any], kind: str, network: nn.Module) -> torch.optim.Optimizer:
    """Return the bundle's optimiser for the light network, Adam with the announced rate for the teacher."""
    if kind == "light":
        return site.bundle(info["light"]).optimizer(network.parameters())
    return torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=info["learning_rate"])
