# SPDX-License-Identifier: Apache-2.0
"""Mixed precision, the same words everywhere: "off", "bfloat16" or "float16".

Weights, losses and updates stay float32; only matrix products and convolutions run in the shorter format. bfloat16 has
float32's range and needs nothing else. float16 has more digits and a small range, so its gradients are computed on a
loss that is scaled up and divided again before the update (``torch.amp.GradScaler``); a step whose gradients overflow
is left out and the scale is halved.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Autocast = Literal["off", "bfloat16", "float16"]
AUTOCAST: tuple[Autocast, ...] = ("off", "bfloat16", "float16")


def autocast(device: torch.device, kind: Autocast) -> torch.autocast:
    """Return the context in which a forward pass runs; with "off" it changes nothing."""
    dtype = torch.float16 if kind == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=kind != "off")


def gradient_scaler(device: torch.device, kind: Autocast) -> torch.amp.GradScaler:
    """Return the loss scaler of ``kind``; it passes everything through unless ``kind`` is "float16"."""
    return torch.amp.GradScaler(device.type, enabled=kind == "float16")


def gradient_step(
    loss: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip_norm: float = 0.0
) -> bool:
    """Take one step on ``loss``; return False where float16 gradients overflowed and the step was left out.

    ``clip_norm`` is the greatest norm of all gradients together; 0 for no bound.
    """
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    if clip_norm:
        scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    before = scaler.get_scale()
    scaler.update()
    return bool(scaler.get_scale() >= before)
