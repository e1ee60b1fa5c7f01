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
    """How many numbers of each network travel when it does: light network, teacher, generator base and branch."""

    light: int
    teacher: int
    base: int = 0
    branch: int = 0


def count_numbers(networks: Networks, generates: bool) -> Numbers:
    """Count them; nothing of the generator's networks is allocated.

    Args:
        networks: of the run.
        generates: whether the method has a generator.

    Raises:
        ConfigError: the generator builds on a Stable Diffusion, whose folder is not at hand.
    """
    config = networks.generator
    if generates and not config.is_embedded:
        fix = "Leave it embedded; docs/how-to/paper-scale.md says what was tried with a Stable Diffusion"
        raise ConfigError("generator_model.base", f"a plan is made for the embedded base, not {config.base}", fix)
    light, teacher = _sum(trained_tensors(networks.light_network())), _sum(trained_tensors(networks.teacher_network()))
    if not generates:
        return Numbers(light, teacher)
    base = embedded_base(on_device(build_base(config), "meta"), config)
    return Numbers(light, teacher, _sum(base.unet.state_dict()), _sum(branch_state(build_branch(base, config))))


def _sum(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
