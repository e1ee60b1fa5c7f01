# SPDX-License-Identifier: Apache-2.0
"""Integer label maps and the mask channels a network predicts.

Label values are nested by default, as in cup-in-disc and nucleus-in-cell: a pixel labelled 2 lies inside structure 1
as well, so channel ``k`` holds ``label >= k + 1``. With ``nested=False`` the classes exclude each other and channel
``k`` holds ``label == k + 1``.

A pixel labelled ``IGNORE`` has no label. Its mask channels are NaN, which cannot pass for background; losses
(`dsfedmed.algorithms.ignored_pixels`) and metrics leave it out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.data.masks.rule import IGNORED

IGNORE = IGNORED


def to_channels(label_map: Tensor, num_classes: int, nested: bool = True) -> Tensor:
    """Split a label map into binary mask channels.

    Args:
        label_map: (N, 1, X, Y) or (1, X, Y) integers 0..K, and ``IGNORE`` where a pixel has no label.
        num_classes: K, the number of foreground classes.
        nested: whether a higher label implies all lower ones.

    Returns:
        (N, K, X, Y) or (K, X, Y) float32 in {0, 1}; NaN in all channels of ignored pixels.

    Raises:
        ValueError: when the channel axis of ``label_map`` is not 1.
    """
    if label_map.ndim not in (3, 4) or label_map.shape[-3] != 1:
        raise ValueError(f"a label map is (N, 1, X, Y) or (1, X, Y), not {tuple(label_map.shape)}")
    values = torch.arange(1, num_classes + 1, device=label_map.device).view(-1, 1, 1)
    channels = label_map >= values if nested else label_map == values
    result = channels.to(torch.float32)
    if num_classes >= IGNORE:  # then 255 is a class
        return result
    return result.masked_fill(label_map == IGNORE, torch.nan)


def valid_pixels(label_map: Tensor) -> Tensor:
    """Return where a label map (..., X, Y) has labels, bool, the same shape."""
    return label_map != IGNORE


def to_label_map(channels: Tensor, nested: bool = True) -> Tensor:
    """Join mask channels to a label map; the inverse of :func:`to_channels` on consistent masks.

    Where predictions contradict each other the highest class present wins, in both readings: a nested channel then
    counts as filling the ones below it. Ignored pixels (NaN) become background: a prediction has none.

    Args:
        channels: (N, K, X, Y) or (K, X, Y), bool or {0, 1}.
        nested: accepted for symmetry; the rule is the same for both readings.

    Returns:
        (N, 1, X, Y) or (1, X, Y) uint8 in 0..K.
    """
    del nested
    values = torch.arange(1, channels.shape[-3] + 1, device=channels.device).view(-1, 1, 1)
    return ((channels > 0.5) * values).amax(dim=-3, keepdim=True).to(torch.uint8)
