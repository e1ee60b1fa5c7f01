# SPDX-License-Identifier: Apache-2.0
"""The tensors of a network that travel between sites and server."""

from __future__ import annotations

from torch import Tensor, nn


def trained_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the floating-point entries of the state dict, but for frozen parameters; they share memory with it.

    Integer counters stay home, and so do frozen parameters (``TinySam`` freezes what it never runs). Float buffers
    travel: normalisation statistics, and SAM's positional code, which has to be one and the same everywhere.
    """
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    state = network.state_dict()
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point() and name not in frozen}


def copied_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return `trained_tensors` as copies on the CPU, which further training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in trained_tensors(network).items()}
