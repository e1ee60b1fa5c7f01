# SPDX-License-Identifier: Apache-2.0
"""Maps of grey values along a Bezier curve, rising or falling.

Sources: Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882 (section 2.1); as augmentation
across modalities, falling maps included, Zhou et al., DualNorm, CVPR 2022, arXiv 2112.11177. With P_0 = (0, 0), P_3 =
(1, 1) and two inner points in the unit square, t from 0 to 1:

    B(t) = (1 - t)^3 P_0 + 3 (1 - t)^2 t P_1 + 3 (1 - t) t^2 P_2 + t^3 P_3

Both coordinates of points along the curve are sorted, so that the map rises from (0, 0) to (1, 1) whatever the inner
points are; a value between two points is interpolated. A falling map is 1 less a rising one.

Deviations: Models Genesis falls by sorting x alone, which leaves folds of the curve in; DualNorm's curve goes from
(-1, 1) to (1, -1) for images in [-1, 1], which is the same map.
"""

from __future__ import annotations

import torch
from torch import Tensor

POINTS = 256
"""Along the curve; between two of them the map is straight."""
Point = tuple[float, float]


def bezier_map(images: Tensor, first: Point, second: Point, falls: bool = False) -> Tensor:
    """Return images of any shape in [0, 1] with every value mapped; also in [0, 1].

    Args:
        images: floating point.
        first: P_1, both coordinates in [0, 1].
        second: P_2, likewise.
        falls: whether bright becomes dark.
    """
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    weights = torch.stack((3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3))
    x, y = torch.tensor([*zip(first, second, (1.0, 1.0), strict=True)], dtype=torch.float64) @ weights
    mapped = _interpolated(images.double(), x.sort().values, y.sort().values).to(images.dtype)
    return 1 - mapped if falls else mapped


def _interpolated(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the piecewise linear function through points (x, y), x rising, at values between the first and last x."""
    right = torch.searchsorted(x, values).clamp(1, len(x) - 1)
    left = right - 1
    share = (values - x[left]) / (x[right] - x[left]).clamp(min=1e-12)
    return y[left] + share.clamp(0, 1) * (y[right] - y[left])
