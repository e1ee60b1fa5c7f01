# SPDX-License-Identifier: Apache-2.0
"""The networks of a planned run, and how many numbers each has that would travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.facts import FederationFacts
from dsfedmed.devices import on_device
from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.settings import Settings


class Networks(Protocol):
    """The networks of a run, such as `dsfedmed.federated.server.plan.FederationPlan` has them."""

    @property
    def settings(self) -> Settings:
        """The run's settings."""

    @property
    def facts(self) -> FederationFacts:
        """What the sites agree on."""

    @property
    def light_bundle(self) -> BundleDefinition:
        """The bundle of the light network at the run's sizes."""

    @property
    def generator(self) -> GeneratorConfig:
        """The generator at the run's sizes."""

    def light_network(self) -> nn.Module:
        """Build the light network."""

    def teacher_network(self) -> PromptlessSam:
        """Build the teacher."""


@dataclass(frozen=True)
class Numbers:
    """How many numbers of each network travel when it does.

    Attributes:
        light: of the light network.
        teacher: of the teacher.
        base: of the generator's base.
        branch: of a branch of it.
        low_rank: of the teacher with low-rank updates: those and what lies outside the encoder.
    """

    light: int
    teacher: int
    base: int = 0
    branch: int = 0
    low_rank: int = 0


def count_numbers(networks: Networks, generates: bool, low_rank: bool = False) -> Numbers:
    """Count them; nothing of the generator's networks is allocated.

    Args:
        networks: of the run.
        generates: whether the method has a generator.
        low_rank: whether it has a teacher with low-rank updates.

    Raises:
        ConfigError: the generator builds on a Stable Diffusion, whose folder is not at hand.
    """
    config = networks.generator
    if generates and not config.is_embedded:
        fix = "Leave it embedded; docs/how-to/paper-scale.md says what was tried with a Stable Diffusion"
        raise ConfigError("generator_model.base", f"a plan is made for the embedded base, not {config.base}", fix)
    light, teacher = _sum(trained_tensors(networks.light_network())), _sum(trained_tensors(networks.teacher_network()))
    if not generates:
        return Numbers(light, teacher, low_rank=_low_rank(networks) if low_rank else 0)
    base = embedded_base(on_device(build_base(config), "meta"), config)
    return Numbers(light, teacher, _sum(base.unet.state_dict()), _sum(branch_state(build_branch(base, config))))


def _low_rank(networks: Networks) -> int:
    asked = networks.settings.teacher
    layers = tuple(asked.lora_layers)
    return _sum(trained_tensors(add_lora(networks.teacher_network(), asked.lora_rank, asked.lora_alpha, layers)))


def _sum(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
