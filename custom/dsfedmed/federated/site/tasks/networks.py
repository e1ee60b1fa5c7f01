# SPDX-License-Identifier: Apache-2.0
"""From a network's specification in a request to the network and its optimiser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.compression import unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.federated.party.teacher_network import build_teacher
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.specs import BundleSpec, NetworkKind, TeacherInit, TeacherSpec
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.store.files import file_sha256


@dataclass(frozen=True)
class NetworkSpecs:
    """What a request says about the networks it may mean.

    Attributes:
        light: the light network.
        teacher: the teacher's size; None where no task of the request builds one.
        teacher_init: its frozen part.
    """

    light: BundleSpec
    teacher: TeacherSpec | None = None
    teacher_init: TeacherInit | None = None


def build(site: SiteContext, specs: NetworkSpecs, kind: NetworkKind) -> nn.Module:
    """Build the "light" network from the site's bundle, or the "teacher" from its size.

    Of the teacher, "adapted" has FedMSA's adapters and "low_rank" updates of rank r; both are built on the site's own
    copy of the teacher's weights.

    Raises:
        PayloadError: the request does not say what the network needs.
        ConfigError: the site has no such bundle or weights file, or another one.
    """
    if kind == "light":
        return site.bundle(specs.light).network()
    if kind not in ("teacher", "adapted", "low_rank"):
        raise PayloadError("server", f"asked to build a network of kind {kind}", SAME_VERSION)
    if kind == "teacher":
        return _teacher(specs, specs.teacher_init.seed if specs.teacher_init else 0)
    init = required_init(specs)
    network = _with_teacher_weights(site, _teacher(specs, init.seed), init)
    if kind == "adapted":
        return add_adapters(network)
    return add_lora(network, init.low_rank.rank, init.low_rank.alpha, init.low_rank.layers, init.seed)


def build_low_rank(site: SiteContext, specs: NetworkSpecs) -> PromptlessSam:
    """Build the teacher with low-rank updates on the site's own copy of its weights."""
    network = build(site, specs, "low_rank")
    assert isinstance(network, PromptlessSam)
    return network


def required_init(specs: NetworkSpecs) -> TeacherInit:
    """Return the teacher's frozen part.

    Raises:
        PayloadError: the request does not name it.
    """
    if specs.teacher_init is None:
        raise PayloadError("server", "named no teacher weights for a network built on them", SAME_VERSION)
    return specs.teacher_init


def _teacher(specs: NetworkSpecs, seed: int) -> PromptlessSam:
    teacher = specs.teacher
    if teacher is None:
        raise PayloadError("server", "named no teacher", SAME_VERSION)
    return build_teacher(teacher, seed)


def _with_teacher_weights(site: SiteContext, network: PromptlessSam, init: TeacherInit) -> PromptlessSam:
    """Load the site's own copy of the frozen part, which must be the server's to the last byte.

    Raises:
        ConfigError: the site has no such file, or another one.
    """
    if init.sha256 is None:
        return network
    path = site.config.need("teacher")
    if not path.is_file() or file_sha256(path) != init.sha256:
        reason = "its `teacher` file is missing or is not the server's"
        raise ConfigError(site.name, reason, "Install the same file at all sites; this method does not send it")
    load_weights(network, path, "teacher", allow_head_change=True, allow_resize=True, allow_channels=True)
    return network


def load(network: nn.Module, tensors: dict[str, Tensor], device: str) -> Weights:
    """Check what arrived, load it, move the network, and return the weights in float32."""
    trained = trained_tensors(network)
    weights = unpack(check_tensors(tensors, specs_of(trained), "server"))
    network.load_state_dict(weights, strict=False)
    network.to(device)
    return weights


def teacher_optimizer(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return Adam over what learns."""
    return torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate)
