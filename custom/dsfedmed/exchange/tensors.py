# SPDX-License-Identifier: Apache-2.0
"""What is known of a set of tensors before it arrives, its digest, and the check on arrival."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError

Weights = dict[str, Tensor]
"""Tensors of a network by name, such as all that travel of it or a whole state dict."""


PLAIN = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    }
)  # fmt: skip
"""Types of numbers that may cross the wire at all."""


@dataclass(frozen=True)
class TensorSpec:
    """Announced form of one tensor: its shape and the dtypes it may have."""

    shape: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16)


def specs_of(tensors: Mapping[str, Tensor], *dtypes: torch.dtype) -> dict[str, TensorSpec]:
    """Announce ``tensors``: same names and shapes, in the given dtypes (default float32 or float16)."""
    return {name: TensorSpec(tuple(t.shape), dtypes or TensorSpec.dtypes) for name, t in tensors.items()}


def byte_count(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of all values, without any framing."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it: one of several sets that are kept as one."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, dtypes, shapes and values, independent of the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def require_plain(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise PayloadError, naming ``where``, unless every tensor lies dense in memory and holds numbers of a known type.

    Others (sparse, quantised, complex, without storage) would make whatever looks at them fail in its own way.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in PLAIN:
            fix = "Send dense tensors of whole or floating-point numbers"
            raise PayloadError(where, f"sent {name[:80]!r} as a tensor of another kind", fix)


def check_tensors(tensors: Mapping[str, object], specs: Mapping[str, TensorSpec], where: str) -> dict[str, Tensor]:
    """Check everything that arrived against what was announced; nothing is taken unless all of it is good.

    Args:
        tensors: what arrived, by name.
        specs: what was announced.
        where: the sender, for the message.

    Returns:
        The same tensors, now known to be tensors.

    Raises:
        PayloadError: a key is missing or unknown, a shape or dtype differs, or a value is not finite.
    """
    missing, unknown = sorted(specs.keys() - tensors.keys()), sorted(tensors.keys() - specs.keys())
    fix = "The site runs another version or another network: compare `dsfedmed --version` and the bundle there"
    if missing or unknown:
        raise PayloadError(where, f"tensors missing {missing[:3]}, not announced {unknown[:3]}", fix)
    checked: dict[str, Tensor] = {}
    for name, spec in specs.items():
        checked[name] = _check_one(name, tensors[name], spec, where, fix)
    return checked


def _check_one(name: str, tensor: object, spec: TensorSpec, where: str, fix: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise PayloadError(where, f"{name} is a {type(tensor).__name__}, not a tensor", fix)
    if tuple(tensor.shape) != spec.shape:
        raise PayloadError(where, f"{name} has shape {tuple(tensor.shape)}, announced was {spec.shape}", fix)
    if tensor.dtype not in spec.dtypes:
        raise PayloadError(where, f"{name} has dtype {tensor.dtype}, announced was {spec.dtypes}", fix)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise PayloadError(
            where, f"{name} holds NaN or infinite values", "Lower the site's learning rate or check its data"
        )
    return tensor
