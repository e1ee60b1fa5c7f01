# SPDX-License-Identifier: Apache-2.0
"""Move networks between devices with their type kept."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def on_device(network: NetworkT, device: str | torch.device) -> NetworkT:
    """Move ``network`` in place and return it; diffusers wraps its own ``to`` so that checkers misread it."""
    nn.Module.to(network, device)
    return network
