# SPDX-License-Identifier: Apache-2.0
"""How much one file may ask for, judged by its header before anything is allocated.

One file at a time is decoded. A flat picture of up to ``MAX_PIXELS`` is decoded and at once reduced to
``KEPT_PIXELS``; whatever would decode to more than ``MAX_BYTES`` is refused. The largest picture therefore needs about
1.6 GiB while it is decoded (Pillow keeps four bytes a pixel of a colour picture), whatever its header says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.errors import DataError
from dsfedmed.ranges import MOST_CHANNELS

MAX_BYTES = 2 * 1024**3
MAX_PIXELS = 400_000_000
KEPT_PIXELS = 16_000_000
MAX_CHANNELS = MOST_CHANNELS


def check_bytes(path: Path, shape: Sequence[int], bytes_a_value: int) -> None:
    """Refuse what would decode to more than ``MAX_BYTES``.

    Raises:
        DataError: naming the file, its size and the limit.
    """
    if any(n < 1 for n in shape):
        raise DataError(path, f"its shape {tuple(shape)} holds nothing", "Export it again.")
    need = math.prod(shape) * bytes_a_value
    if need > MAX_BYTES:
        size = " x ".join(str(n) for n in shape)
        reason = f"it is {size}, {need / 1024**3:.1f} GiB when decoded (at most {MAX_BYTES / 1024**3:.0f} GiB)"
        raise DataError(path, reason, "Export it smaller, or cut it into parts.")


def check_pixels(path: Path, size: tuple[int, int]) -> None:
    """Refuse a flat picture of more than ``MAX_PIXELS`` or of none.

    Raises:
        DataError: naming the file, its size and the limit.
    """
    if min(size) < 1:
        raise DataError(path, f"its size {size[0]} x {size[1]} holds nothing", "Export it again.")
    if size[0] * size[1] > MAX_PIXELS:
        reason = f"it has {size[0]} x {size[1]} pixels (at most {MAX_PIXELS // 10**6} million)"
        raise DataError(path, reason, "Export it at a lower magnification, or cut it into tiles.")


def reduction(size: tuple[int, int]) -> int:
    """Return the whole factor by which both sides are divided, so that at most ``KEPT_PIXELS`` remain; 1 if they do."""
    return max(1, math.ceil(math.sqrt(size[0] * size[1] / KEPT_PIXELS)))
