# SPDX-License-Identifier: Apache-2.0
"""Pairs of thumbnails that correlate, in blocks of a matrix product.

10,000 images are 5 x 10^7 pairs of 1024 numbers: about 10 seconds of one core, and 40 MB of thumbnails.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dsfedmed.data.review.thumbnail import ALIKE

BLOCK = 512
MOST_OF_ONE = 8


def alike_pairs(
    thumbnails: Sequence[NDArray[np.float32]], groups: Sequence[Hashable], threshold: float = ALIKE
) -> Iterator[tuple[int, int, float]]:
    """Yield (i, j, correlation) of the pairs i < j of different groups that correlate by the threshold or more.

    Args:
        thumbnails: N of (D,) float32, each of mean 0 and length 1.
        groups: N patients; pairs within one are not told.
        threshold: least correlation, in (0, 1].

    Of one image at most the eight most alike of those behind it are told, so that a site of thousands of copies of one
    image does not fill the memory.
    """
    if not thumbnails:
        return
    matrix = np.stack(thumbnails)
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    group_of = np.array([number[group] for group in groups])
    for start in range(0, len(matrix), BLOCK):
        rows = slice(start, start + BLOCK)
        product = matrix[rows] @ matrix[start:].T
        product[group_of[rows, None] == group_of[None, start:]] = -1.0
        product[np.tril_indices(len(product), m=product.shape[1])] = -1.0
        for row in np.flatnonzero((product >= threshold).any(axis=1)):
            order = np.argsort(-product[row], kind="stable")[:MOST_OF_ONE]
            for column in order[product[row, order] >= threshold]:
                yield start + int(row), start + int(column), float(product[row, column])
