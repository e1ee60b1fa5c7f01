# SPDX-License-Identifier: Apache-2.0
"""Counting says what sorting says, for every kind of number."""

from __future__ import annotations

import numpy as np
import pytest

from dsfedmed.data.masks import distinct as module
from dsfedmed.data.masks.distinct import distinct, replaced

ARRAYS = [
    np.array([[0, 7], [255, 7]], dtype=np.uint8),
    np.arange(256, dtype=np.uint8).reshape(16, 16).T,
    np.asfortranarray(np.array([[3, 7, 0], [0, 7, 1]], dtype=np.uint8)),
    np.array([[3, 7, 0], [0, 7, 1]], dtype=np.uint8)[:, ::2],
    np.array([[0, 65535], [2, 2]], dtype=np.uint16),
    np.array([[0, 3], [65536, 3]], dtype=np.int64),
    np.array([[-4, 3], [0, 3]], dtype=np.int16),
    np.array([[-4, 3], [0, 3]], dtype=np.int8),
    np.array([[True, False], [True, True]]),
    np.array([[255, 0], [255, 255]], dtype=np.uint8).view(np.bool_),  # as Pillow's bits are stored
    np.array([[0, 3], [9, 3]], dtype=">i4"),
    np.array([[0.5, 3.0], [0.5, 0.0]]),
    np.zeros((0, 2), dtype=np.uint8),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
@pytest.mark.parametrize("block", [1, 3, 2**22])
def test_distinct_numbers_are_those_that_sorting_finds(
    array: np.ndarray, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    assert distinct(array).tolist() == sorted(set(array.ravel().tolist()))
    assert distinct(array.T).tolist() == sorted(set(array.ravel().tolist()))


@pytest.mark.parametrize("array", [array for array in ARRAYS if array.dtype.kind in "bui"], ids=lambda a: str(a.dtype))
def test_numbers_are_replaced_one_by_one(array: np.ndarray) -> None:
    targets = {3: 1, 7: 2, 65535: 3, 65536: 4, -4: 5, 1: 6, 0: 9}
    expected = [targets.get(int(value), 0) for value in array.ravel()]
    found = replaced(array, targets)
    assert found.dtype == np.uint8
    assert found.shape == array.shape
    assert found.ravel().tolist() == expected
