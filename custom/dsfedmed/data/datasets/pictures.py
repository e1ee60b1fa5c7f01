# SPDX-License-Identifier: Apache-2.0
"""Pictures of a download in memory: decoded with Pillow, written back as lossless PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from dsfedmed.data.datasets.plan import Encoded
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.errors import DataError


def open_picture(source: Source, member: Member, longest: int | None = None) -> Image.Image:
    """Decode a picture.

    Args:
        source: where the member lies.
        member: a picture file.
        longest: shrink to about this longest side, in pixels; JPEG is then decoded at reduced size, which is quick.

    Raises:
        DataError: naming the member, when it is damaged.
    """
    content = source.read(member)
    try:
        picture = Image.open(io.BytesIO(content))
        if longest is not None:
            picture.thumbnail((longest, longest))
        picture.load()
        return picture
    # Pillow's decoders raise whatever they like on damaged files.
    except Exception as error:
        raise DataError(member.where, f"it cannot be decoded ({error})", "Download it again.") from error


def grey_of(source: Source, member: Member) -> np.ndarray:
    """Return a mask picture as (rows, columns) uint8 of displayed grey; bits become 0 and 255, colours luminance."""
    return np.asarray(open_picture(source, member).convert("L"))


def png(array: np.ndarray) -> Encoded:
    """Encode (rows, columns[, 3]) uint8 as PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8)).save(stream, format="PNG")
    return Encoded(stream.getvalue(), ".png")
