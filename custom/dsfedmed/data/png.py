# SPDX-License-Identifier: Apache-2.0
"""Images and label maps as PNG inside a shard: lossless, and about half the bytes over the wire.

What comes from elsewhere is decoded only when its header says the size and kind that were announced, so that no few
bytes can unfold into gigabytes.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dsfedmed.errors import PayloadError

_MODES = {1: "L", 3: "RGB"}


def encode_png(image: Tensor) -> bytes:
    """Return a uint8 image (1 or 3, S, S) as PNG."""
    plane = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(plane.numpy()).save(stream, "PNG")
    return stream.getvalue()


def decode_png(data: bytes, channels: int, size: int, where: Path) -> Tensor:
    """Return the uint8 image (``channels``, ``size``, ``size``) that `encode_png` was given.

    Raises:
        PayloadError: naming ``where``; not a PNG, of another size or kind, or damaged.
    """
    fix = "Remove it and fetch the set again"
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (size, size) or image.mode != _MODES[channels]:
                found = f"{image.mode} {image.size[0]} x {image.size[1]}"
                raise PayloadError(where, f"holds an image {found}, not {_MODES[channels]} {size} x {size}", fix)
            plane = np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PayloadError(where, f"holds an image that cannot be decoded ({error})", fix) from error
    return torch.from_numpy(plane[None] if channels == 1 else plane.transpose(2, 0, 1).copy())


def pack_png(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return all images (N, 1 or 3, S, S) as one row of bytes, uint8 (B,), and where each ends, int64 (N,)."""
    encoded = [encode_png(image) for image in images]
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
    return torch.from_numpy(data), torch.tensor([len(part) for part in encoded], dtype=torch.int64).cumsum(0)
