# SPDX-License-Identifier: Apache-2.0
"""Images and label maps as PNG inside a shard: lossless, and about half the bytes over the wire.

One channel is a grey PNG and three are an RGB one. Any other number n is one grey PNG, S wide and n S high, with the
channels one below the other.

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

RGB = 3


def encode_png(image: Tensor) -> bytes:
    """Return a uint8 image (C, S, S) as PNG."""
    plane = image.permute(1, 2, 0) if len(image) == RGB else image.reshape(-1, image.shape[2])
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
        mode, wanted = ("RGB", (size, size)) if channels == RGB else ("L", (size, size * channels))
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != wanted or image.mode != mode:
                found = f"{image.mode} {image.size[0]} x {image.size[1]}"
                raise PayloadError(where, f"holds an image {found}, not {mode} {wanted[0]} x {wanted[1]}", fix)
            plane = np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PayloadError(where, f"holds an image that cannot be decoded ({error})", fix) from error
    return torch.from_numpy(plane.transpose(2, 0, 1).copy() if channels == RGB else plane.reshape(channels, size, size))


def pack_png(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return all images (N, C, S, S) as one row of bytes, uint8 (B,), and where each ends, int64 (N,)."""
    encoded = [encode_png(image) for image in images]
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
    return torch.from_numpy(data), torch.tensor([len(part) for part in encoded], dtype=torch.int64).cumsum(0)
