# SPDX-License-Identifier: Apache-2.0
"""pFedSAM's decoupled global-local fine-tuning (arXiv 2509.15638): two branches at a site, trained one after the other.

    phase G: the personal branch is fixed;  CE(z_g, y) + lambda KD(sg z_l -> z_g)
    phase L: the global branch is fixed;    CE(z_l, y) + lambda KD(sg z_g -> z_l) + 0.01 * balance

The abstract says that distillation bridges the shared and the personal model; order, weights and T are [inferred], and
so is which way it goes (the figure's arrows point both ways): ``direction``. Whether the server's LoRA and decoder
also overwrite the personal ones is ambiguous in the figure (only the experts are marked local): ``personal_sync``.
The supervised loss is the bundle's (BCE and Dice), as for every other method here.

Extensions, off by default: ``warmup_rounds`` of phase G alone, behind which a site's personal branch starts as a copy
of a global one that has already learned; a rate of its own for phase L; and a running mean over the rounds, since one
site's few images leave a branch that jumps from round to round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from dsfedmed.networks.local_experts import EXPERTS, balance_loss
from dsfedmed.networks.lora import is_lora
from dsfedmed.options import read_options, require, require_choice
from dsfedmed.training.distilled_loss import DistilledLoss, guided_loss
from dsfedmed.training.task import Loss

DIRECTIONS = ("both", "to_personal", "to_global", "none")
SYNCS = ("none", "lora", "lora+decoder")


@dataclass(frozen=True)
class PersonalConfig:
    """Options of pFedSAM; all values are [inferred], the paper's are not known.

    Attributes:
        learning_rate: Adam's, of both branches.
        personal_learning_rate: Adam's, of the personal branch where it is to have another; 0: the same.
        personal_average: decay of the personal branch's running mean over its rounds. The site is then scored with that
            mean, and training goes on from the branch itself. 0: none.
        warmup_rounds: rounds of the global branch alone; the personal one starts as a copy of it behind them.
        experts: M of each adapted layer.
        top_k: experts that are run for a map.
        direction: which branch learns from the other: "both", "to_personal" (teacher: global), "to_global", "none".
        kl_weight: lambda.
        temperature: T.
        balance_weight: factor of the experts' balance loss.
        personal_sync: what of the personal branch the server's weights overwrite in every round.
    """

    learning_rate: float = 1e-4
    personal_learning_rate: float = 0.0
    personal_average: float = 0.0
    warmup_rounds: int = 0
    experts: int = 4
    top_k: int = 1
    direction: Literal["both", "to_personal", "to_global", "none"] = "both"
    kl_weight: float = 0.5
    temperature: float = 2.0
    balance_weight: float = 0.01
    personal_sync: Literal["none", "lora", "lora+decoder"] = "none"

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.learning_rate > 0, "method.learning_rate", "it is not above 0", "Give 0.0001")
        require(self.temperature > 0, "method.temperature", "it is not above 0", "Give 2")
        for name in ("kl_weight", "balance_weight", "personal_learning_rate", "warmup_rounds"):
            require(getattr(self, name) >= 0, f"method.{name}", "it is negative", "Give 0 or more")
        average = f"{self.personal_average} is not in [0, 1)"
        require(0 <= self.personal_average < 1, "method.personal_average", average, "Give 0.8, or 0 for none")
        fits = 1 <= self.top_k <= self.experts
        require(fits, "method.top_k", f"{self.top_k} of {self.experts} experts", "Give 1 up to the number of experts")
        require_choice("method.direction", self.direction, DIRECTIONS)
        require_choice("method.personal_sync", self.personal_sync, SYNCS)

    @property
    def personal_rate(self) -> float:
        """The rate of phase L."""
        return self.personal_learning_rate or self.learning_rate

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "method") -> PersonalConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)


@torch.no_grad()
def sync_personal(own: nn.Module, shared: nn.Module, sync: str) -> None:
    """Overwrite the personal branch's LoRA, or LoRA and decoder, with the global ones; the experts never."""
    given = dict(shared.named_parameters())
    for name, parameter in own.named_parameters():
        if EXPERTS in name or not parameter.requires_grad or sync == "none":
            continue
        if is_lora(name) or sync == "lora+decoder":
            parameter.copy_(given[name])


def global_phase(shared: nn.Module, own: nn.Module, loss: Loss, config: PersonalConfig) -> tuple[nn.Module, Loss]:
    """Return the module to train in phase G, over the global branch's parameters, and its loss."""
    if config.direction not in ("both", "to_global"):
        return shared, loss
    pupil = DistilledLoss(shared, own)
    return pupil, guided_loss(pupil, loss, config.kl_weight, config.temperature)


def local_phase(shared: nn.Module, own: nn.Module, loss: Loss, config: PersonalConfig) -> tuple[nn.Module, Loss]:
    """Return the module to train in phase L, over the personal branch's parameters, and its loss."""
    guided = config.direction in ("both", "to_personal")
    pupil = DistilledLoss(own, shared)
    weight = config.kl_weight if guided else 0.0
    return pupil, guided_loss(
        pupil, loss, weight, config.temperature, lambda: config.balance_weight * balance_loss(own)
    )
