# SPDX-License-Identifier: Apache-2.0
"""Which devices there are; networks and batches are moved between them."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError
from dsfedmed.options import require

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


def require_device(name: str) -> None:
    """See that this machine has the torch device called ``name``, such as "cpu", "cuda" or "cuda:1".

    Raises:
        ConfigError: it is no device, or this machine has none, with the reason.
    """
    where = f"device {name}"
    fix = "Use cpu, or run on a machine that has it"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(where, "is not a device that torch knows", "Use cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        built = torch.backends.cuda.is_built()
        reason = "torch finds no CUDA GPU on this machine" if built else "this torch was built without CUDA"
        require(count > 0, where, reason, fix)
        there = f"this machine has {count} GPU{'' if count == 1 else 's'}, numbered from 0"
        require(device.index is None or device.index < count, where, there, fix)
    elif device.type == "mps":
        require(torch.backends.mps.is_available(), where, "this machine has no Apple GPU that torch can use", fix)
    else:
        require(device.type == "cpu", where, f"a {device.type} device is not supported", "Use cpu, cuda, cuda:N or mps")
