# SPDX-License-Identifier: Apache-2.0
"""Move networks and batches between devices."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def on_device(network: NetworkT, device: str | torch.device) -> NetworkT:
    """Move ``network`` in place and return it; diffusers wraps its own ``to`` so that checkers misread it."""
    nn.Module.to(network, device)
    return network


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """Return ``batch`` on ``device``; to CUDA through pinned memory, so that the copy runs beside the computation."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


def release_memory() -> None:
    """Hand back what torch keeps of a CUDA card for later, since other sites of a simulation may share the card."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
