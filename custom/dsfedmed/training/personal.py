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

import torch
from torch import nn

from dsfedmed.networks.local_experts import EXPERTS, balance_loss
from dsfedmed.networks.lora import is_lora
from dsfedmed.training.distilled_loss import DistilledLoss, guided_loss
from dsfedmed.training.personal_config import PersonalConfig
from dsfedmed.training.task import Loss


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
