# SPDX-License-Identifier: Apache-2.0
"""An optimiser's state as a flat dict of plain tensors, for safetensors, so that training resumes where it stopped.

Keys: ``state.<parameter index>.<name>`` for what the optimiser keeps per parameter (Adam: step, exp_avg, exp_avg_sq)
and ``group.<group index>.<name>`` for the numbers of a parameter group (lr, betas, ...; float64), since a schedule may
have changed them. Flags and text of a group are configuration and come from the optimiser that loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dsfedmed.errors import CheckpointError

FIX = "Resume with the network and optimiser configuration that wrote it"


def optimizer_state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return copies of all tensors and numbers of the optimiser's state, on the CPU."""
    state = optimizer.state_dict()
    flat: dict[str, Tensor] = {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            if value is not None:
                flat[f"state.{index}.{name}"] = torch.as_tensor(value).detach().cpu().clone().contiguous()
    for index, group in enumerate(state["param_groups"]):
        for name, value in group.items():
            if _is_number(value):
                flat[f"group.{index}.{name}"] = torch.tensor(value, dtype=torch.float64)
    return flat


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load what ``optimizer_state_tensors`` gave into an optimiser over the same parameters.

    Args:
        optimizer: built as the one that was saved.
        tensors: the flat dict.
        where: file or stage, for the error.

    Raises:
        CheckpointError: a key is unknown, or a tensor does not fit its parameter; the optimiser is left as it was.
    """
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        kind, index, name = _split(key, where)
        if kind == "state" and index < len(parameters):
            entries.setdefault(index, {})[name] = _fitting(where, key, value, parameters[index])
        elif kind == "group" and index < len(state["param_groups"]) and name in state["param_groups"][index]:
            old = state["param_groups"][index][name]
            state["param_groups"][index][name] = _number_like(old, value)
        else:
            raise CheckpointError(where, f"optimiser key {key!r} belongs to no parameter here", FIX)
    state["state"] = entries
    optimizer.load_state_dict(state)


def _split(key: str, where: str) -> tuple[str, int, str]:
    parts = key.split(".", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        raise CheckpointError(where, f"{key!r} is not an optimiser key", FIX)
    return parts[0], int(parts[1]), parts[2]


def _fitting(where: str, key: str, value: Tensor, parameter: Tensor) -> Tensor:
    if value.ndim > 0 and value.shape != parameter.shape:
        reason = f"{key} has shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}"
        raise CheckpointError(where, reason, FIX)
    return value.clone()


def _is_number(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_number(each) for each in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number_like(old: Any, value: Tensor) -> Any:
    if isinstance(old, tuple):
        return tuple(type(each)(new) for each, new in zip(old, value.tolist(), strict=True))
    return type(old)(value.item())
