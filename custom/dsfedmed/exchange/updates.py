# SPDX-License-Identifier: Apache-2.0
"""Number formats of differences of weights on the wire, with error feedback.

"fp32" and "fp16" send each tensor under its name. "int8" sends three tensors, whatever the network: ``codes`` (the
eight-bit numbers of all large tensors in the order of their names, entropy coded), ``scales`` (float32, one for each
output channel) and ``plain`` (the vectors and the small ones, float32). Names and shapes do not travel, since both
sides know them; ``layout`` is a hash over them that tells when they do not.

Vectors (biases, normalisation and its statistics; under a hundredth of a network) are float32 in every format: a
running variance that falls from 1 to 1e-5 in a round would come out negative when its difference is rounded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange import entropy
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.quantisation import dequantise, quantise, row_count
from dsfedmed.exchange.tensors import TensorSpec, check_tensors

EIGHT_BIT = "int8"
SMALL = 1024
CODES, SCALES, PLAIN = "codes", "scales", "plain"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Encoded:
    """A difference as it travels.

    Attributes:
        tensors: what goes over the wire.
        received: the same as the receiver reads it, float32, to the last bit.
        layout: hash over names and shapes.
    """

    tensors: dict[str, Tensor]
    received: dict[str, Tensor]
    layout: str


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def layout_of(shapes: Shapes) -> str:
    """Return a SHA-256 over names and shapes, independent of their order."""
    listed = sorted((name, list(shape)) for name, shape in shapes.items())
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def encode(update: Mapping[str, Tensor], precision: str, where: str) -> Encoded:
    """Bring a difference into a format of the wire.

    Args:
        update: floating-point tensors by name.
        precision: "fp32", "fp16" or "int8".
        where: the sender, for the error.

    Raises:
        PayloadError: a value is not finite, or does not fit half precision.
        ConfigError: the format has no such name.
    """
    layout = layout_of(shapes_of(update))
    if precision != EIGHT_BIT:
        packed = {n: pack({n: t}, "fp32" if t.ndim < 2 else precision, where)[n] for n, t in update.items()}
        return Encoded(packed, unpack(packed), layout)
    whole = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in sorted(update.items())}
    for name, tensor in whole.items():
        if not bool(torch.isfinite(tensor).all()):
            raise PayloadError(where, f"{name} holds values that are not finite", "Lower the site's learning rate")
    received: dict[str, Tensor] = {}
    codes, scales, plain = [], [], []
    for name, tensor in whole.items():
        if _is_plain(tuple(tensor.shape)):
            plain.append(tensor.reshape(-1))
            received[name] = tensor.clone()
        else:
            numbers, steps = quantise(tensor)
            codes.append(numbers.reshape(-1))
            scales.append(steps)
            received[name] = dequantise(numbers, steps)
    tensors = {
        CODES: entropy.compress(_joined(codes, torch.int8)),
        SCALES: _joined(scales, torch.float32),
        PLAIN: _joined(plain, torch.float32),
    }
    return Encoded(tensors, received, layout)


def decode(tensors: Mapping[str, object], shapes: Shapes, precision: str, layout: str, where: str) -> dict[str, Tensor]:
    """Check what arrived against names and shapes known here, and return the difference in float32.

    Args:
        tensors: what came over the wire.
        shapes: names and shapes that are expected.
        precision: the format it was sent in.
        layout: the sender's hash over its names and shapes.
        where: the sender, for the error.

    Raises:
        PayloadError: anything is missing, unknown, of another size or type, damaged, or not finite.
    """
    if layout != layout_of(shapes):
        fix = "The site runs another network: compare the bundle and `dsfedmed --version` there"
        raise PayloadError(where, "sent an update with other names or another shape of a tensor", fix)
    if precision != EIGHT_BIT:
        dtype = {"fp32": torch.float32, "fp16": torch.float16}[precision]
        specs = {n: TensorSpec(tuple(s), (torch.float32 if len(s) < 2 else dtype,)) for n, s in shapes.items()}
        return unpack(check_tensors(tensors, specs, where))
    coded = tensors.get(CODES)
    if not isinstance(coded, Tensor) or tensors.keys() != {CODES, SCALES, PLAIN}:
        raise PayloadError(where, "sent no eight-bit update", "Use the same version of dsfedmed everywhere")
    large = {name: tuple(shape) for name, shape in sorted(shapes.items()) if not _is_plain(tuple(shape))}
    small = {name: tuple(shape) for name, shape in sorted(shapes.items()) if _is_plain(tuple(shape))}
    specs = {
        SCALES: TensorSpec((sum(row_count(shape) for shape in large.values()),), (torch.float32,)),
        PLAIN: TensorSpec((sum(_numel(shape) for shape in small.values()),), (torch.float32,)),
    }
    parts = check_tensors({SCALES: tensors[SCALES], PLAIN: tensors[PLAIN]}, specs, where)
    codes = entropy.decode_bytes(coded, sum(_numel(shape) for shape in large.values()), where)
    update: dict[str, Tensor] = {}
    values = parts[PLAIN].split([_numel(shape) for shape in small.values()])
    for (name, shape), numbers in zip(small.items(), values, strict=True):
        update[name] = numbers.reshape(shape).clone()
    pieces = codes.split([_numel(shape) for shape in large.values()])
    steps = parts[SCALES].split([row_count(shape) for shape in large.values()])
    for (name, shape), numbers, scales in zip(large.items(), pieces, steps, strict=True):
        update[name] = dequantise(numbers.reshape(shape), scales)
    return {name: update[name] for name in shapes}


def uncoded_size(shapes: Shapes) -> int:
    """Return the bytes that an eight-bit difference of these tensors would have without entropy coding."""
    plain = sum(4 * _numel(tuple(shape)) for shape in shapes.values() if _is_plain(tuple(shape)))
    large = [tuple(shape) for shape in shapes.values() if not _is_plain(tuple(shape))]
    return plain + sum(_numel(shape) + 4 * row_count(shape) for shape in large)


def feed_back(
    update: Mapping[str, Tensor], residual: Mapping[str, Tensor], precision: str, where: str
) -> tuple[Encoded, dict[str, Tensor]]:
    """Encode a difference together with what earlier rounding left behind.

    Args:
        update: the difference d.
        residual: e by name; an absent name counts as zero.
        precision: format of the wire.
        where: the sender, for the error.

    Returns:
        Q(d + e) as it travels, and the new residual d + e - Q(d + e).
    """
    whole = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in update.items()}
    whole = {name: tensor + residual[name] if name in residual else tensor for name, tensor in whole.items()}
    encoded = encode(whole, precision, where)
    return encoded, {name: tensor - encoded.received[name] for name, tensor in whole.items()}


def _is_plain(shape: tuple[int, ...]) -> bool:
    """Tell what is not rounded to eight bits: few numbers, and every vector.

    A vector has one scale only, and in the statistics of a normalisation (1,152 channels in an EfficientNet) the
    largest would drown the small ones.
    """
    return len(shape) < 2 or _numel(shape) < SMALL


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _joined(pieces: list[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat(pieces).contiguous() if pieces else torch.zeros(0, dtype=dtype)
