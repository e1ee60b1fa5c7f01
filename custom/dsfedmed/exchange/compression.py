# SPDX-License-Identifier: Apache-2.0
"""Number formats of whole weights on the wire: half precision unless told otherwise.

The receiver always computes in float32. A difference is taken against the rounded weights that the site really
received, so rounding on the way down never enters an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from dsfedmed.errors import ConfigError, PayloadError

# Eight bits are a format of differences (`dsfedmed.exchange.updates`); whole weights then travel in half precision.
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.float16}
VARIANCE = "running_var"


def pack(tensors: Mapping[str, Tensor], precision: str, where: str = "wire") -> dict[str, Tensor]:
    """Return CPU copies of ``tensors`` in the wire's number format.

    Raises:
        ConfigError: the precision has no such name.
        PayloadError: a value does not fit the format (float16 ends at 65,504).
    """
    if precision not in PRECISIONS:
        raise ConfigError("light.precision", f"{precision!r} is unknown", f"Use one of {sorted(PRECISIONS)}")
    packed = {name: t.detach().to("cpu", PRECISIONS[precision], copy=True).contiguous() for name, t in tensors.items()}
    for name, tensor in packed.items():
        if not bool(torch.isfinite(tensor).all()):
            raise PayloadError(where, f"{name} does not fit {precision} or is not finite", "Use precision fp32")
    return packed


def require_fits(tensors: Iterable[tuple[str, Tensor]], precision: str, where: str) -> None:
    """Raise PayloadError, naming ``where``, unless `pack` will take these tensors; one of them in memory at a time."""
    for name, tensor in tensors:
        pack({name: tensor}, precision, where)


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 copies."""
    return {name: t.to(torch.float32, copy=True) for name, t in tensors.items()}


def difference(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return new - old, name by name, in float32."""
    return {name: new[name].detach().to("cpu", torch.float32) - old[name] for name in old}


def add(base: Mapping[str, Tensor], delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return base + delta, name by name.

    The variances that batch normalisation keeps stop at zero: a rounded difference could lead below, and the next
    forward pass would take the square root of that.
    """
    total = {name: base[name] + delta[name].to(base[name].dtype) for name in base}
    return {name: tensor.clamp_min(0) if name.endswith(VARIANCE) else tensor for name, tensor in total.items()}
