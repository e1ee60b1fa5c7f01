# SPDX-License-Identifier: Apache-2.0
"""Position tables of SAM's image encoder, brought to another image size.

The ViT of segment-anything (Kirillov et al., "Segment Anything", arXiv 2304.02643) has two kinds, both learned at
1024 px, so on a grid of 64 x 64 tokens:

* ``pos_embed`` (1, g, g, C), added to the patches: resampled over the grid, bicubic;
* ``rel_pos_h`` and ``rel_pos_w`` (2g - 1, d) of a block's attention, one row for each distance: resampled over the
  distances, linear, which is what segment-anything itself does at each forward when sizes differ (``get_rel_pos``).

Blocks that attend inside windows of 14 x 14 tokens have 27 rows at any image size; only the blocks with global
attention change. Everything else in SAM is free of the image's size. Deviation from common practice: shrinking the
grid is antialiased (timm's default), so that no row of the table is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from torch import Tensor
from torch.nn import functional

ABSOLUTE = "pos_embed"
RELATIVE = ("rel_pos_h", "rel_pos_w")


def resize_absolute(table: Tensor, grid: int) -> Tensor:
    """Return the table (1, g, g, C) resampled to (1, grid, grid, C), in its own dtype."""
    resized: Tensor = resample_abs_pos_embed_nhwc(table, [grid, grid])
    return resized


def resize_relative(table: Tensor, length: int) -> Tensor:
    """Return the table (L, d), one row a distance, resampled to (length, d), in its own dtype."""
    rows = functional.interpolate(table.float().T[None], size=length, mode="linear")
    return rows[0].T.contiguous().to(table.dtype)


def fit_positions(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the position tables of ``state`` that have another grid than the network's, at the network's size.

    Args:
        own: the network's tensors by name.
        state: the file's tensors by name.

    Tables whose width differs belong to another architecture and are left as they are, for the loader to refuse.
    """
    fitted = {}
    for key in own.keys() & state.keys():
        name, here, there = key.rsplit(".", 1)[-1], own[key].shape, state[key].shape
        if here == there or len(here) != len(there) or here[-1] != there[-1]:
            continue
        if name == ABSOLUTE and len(here) == 4:
            fitted[key] = resize_absolute(state[key], here[1])
        elif name in RELATIVE and len(here) == 2:
            fitted[key] = resize_relative(state[key], here[0])
    return fitted
