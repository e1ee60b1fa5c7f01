# SPDX-License-Identifier: Apache-2.0
"""Images whose sides a network does not divide: reflected at their edges on the way in, logits cut back on the way out.

A network that halves its maps n times takes sides that are multiples of 2^n. Any other side is extended to the next
multiple by reflection, half of it at either end (zeros would be an edge that no image has), and the logits lose the
same rows and columns again. Sides that divide pass as they are, to the last bit, and no parameter has another name.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def up_to_multiple(side: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``side``."""
    return (side + multiple - 1) // multiple * multiple


def extended(images: Tensor, multiple: int) -> Tensor:
    """Return images (N, C, X, Y) with both sides extended to multiples of ``multiple`` by reflection.

    Images whose sides are such multiples come back as they are. A side must be longer than half of what it lacks.
    """
    more_x = up_to_multiple(images.shape[2], multiple) - images.shape[2]
    more_y = up_to_multiple(images.shape[3], multiple) - images.shape[3]
    if more_x == 0 and more_y == 0:
        return images
    left, top = more_y // 2, more_x // 2
    return functional.pad(images, [left, more_y - left, top, more_x - top], mode="reflect")


def cut_back(maps: Tensor, size_x: int, size_y: int) -> Tensor:
    """Return the part (N, K, X, Y) of maps that lies over the image before `extended`; of that size, as they are."""
    more_x, more_y = maps.shape[2] - size_x, maps.shape[3] - size_y
    if more_x == 0 and more_y == 0:
        return maps
    inner: Tensor = maps.narrow(2, more_x // 2, size_x).narrow(3, more_y // 2, size_y).contiguous()
    return inner


def reflectable(side: int, multiple: int) -> bool:
    """Say whether a side is long enough to be extended to a multiple of ``multiple``."""
    return side > (up_to_multiple(side, multiple) - side + 1) // 2
