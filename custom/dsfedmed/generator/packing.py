# SPDX-License-Identifier: Apache-2.0
"""Label maps as bit planes for the wire: 450 binary maps of 64 px are 230 kB."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dsfedmed.errors import DataError, PayloadError

_KEYS = {"planes", "shape"}


def pack_label_maps(label_maps: Tensor, num_classes: int) -> dict[str, Tensor]:
    """Return label maps, uint8 (N, 1, S, S) with values 0..K, as bit planes.

    Returns:
        ``planes``: uint8 (B, ceil(N * S * S / 8)), plane b holding bit b of every label, B = bits of K;
        ``shape``: int64 (3,) = N, S, S.

    Raises:
        DataError: another shape or type, or labels above ``num_classes``.
    """
    if label_maps.ndim != 4 or label_maps.shape[1] != 1 or label_maps.dtype != torch.uint8 or len(label_maps) == 0:
        raise DataError(
            "label maps",
            f"{label_maps.dtype} {tuple(label_maps.shape)} cannot be packed",
            "Give uint8 label maps (N, 1, S, S).",
        )
    if int(label_maps.max()) > num_classes:
        raise DataError("label maps", f"label {int(label_maps.max())} is above {num_classes}", "Check the classes.")
    flat = label_maps.cpu().numpy().reshape(-1)
    planes = np.stack([np.packbits((flat >> bit) & 1) for bit in range(num_classes.bit_length())])
    shape = torch.tensor([len(label_maps), *label_maps.shape[2:]], dtype=torch.int64)
    return {"planes": torch.from_numpy(planes), "shape": shape}


def unpack_label_maps(
    packed: Mapping[str, Tensor], num_classes: int, image_size: int, where: str = "label maps"
) -> Tensor:
    """Return the label maps, uint8 (N, 1, S, S), of ``pack_label_maps``, checked before anything is allocated.

    Args:
        packed: what came over the wire.
        num_classes: K as agreed.
        image_size: S as agreed, in pixels.
        where: the sender, for errors.

    Raises:
        PayloadError: other keys, types or sizes than announced, or labels above ``num_classes``.
    """
    fix = "Send the result of pack_label_maps for the agreed size and classes."
    if set(packed) != _KEYS:
        raise PayloadError(where, f"has keys {sorted(packed)}, not {sorted(_KEYS)}", fix)
    planes, shape = packed["planes"], packed["shape"]
    if planes.dtype != torch.uint8 or shape.dtype != torch.int64 or planes.ndim != 2 or tuple(shape.shape) != (3,):
        raise PayloadError(where, "holds tensors of another type or rank", fix)
    count, *sides = shape.tolist()
    pixels = count * image_size**2
    expected = (num_classes.bit_length(), math.ceil(pixels / 8))
    if count < 1 or sides != [image_size, image_size] or tuple(planes.shape) != expected:
        raise PayloadError(where, f"announces {count} maps of {sides} in {tuple(planes.shape)}, not {expected}", fix)
    bits = np.unpackbits(planes.cpu().numpy(), axis=1, count=pixels)
    labels = sum((bits[bit] << bit for bit in range(1, len(bits))), start=bits[0])
    if int(labels.max()) > num_classes:
        raise PayloadError(where, f"holds label {int(labels.max())}, above {num_classes}", fix)
    return torch.from_numpy(labels.reshape(count, 1, image_size, image_size))
