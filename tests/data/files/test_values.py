# SPDX-License-Identifier: Apache-2.0
"""The one place that decides how numbers become [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.errors import DataError


def raw(array: np.ndarray, low_is_white: bool = False) -> Raw:
    return Raw(Path("scan"), array, np.eye(4), volume=False, low_is_white=low_is_white)


@pytest.mark.parametrize(
    ("array", "window"),
    [
        (np.array([3, 9], np.uint8), [(0.0, 255.0)]),
        (np.array([True, False]), [(0.0, 1.0)]),
        (np.arange(1001, dtype=np.float32), [(5.0, 995.0)]),
    ],
    ids=["eight bits", "bits", "percentiles 0.5 and 99.5"],
)
def test_windows_by_hand(array: np.ndarray, window: list[tuple[float, float]]) -> None:
    np.testing.assert_allclose(windows(raw(array[:, None, None])), window)


def test_channels_that_are_no_colours_have_a_scale_each() -> None:
    planes = np.stack([np.arange(1001), 10 * np.arange(1001)], axis=-1).astype(np.float32)[:, None]
    np.testing.assert_allclose(windows(raw(planes)), [(5, 995), (50, 9950)])
    colours = np.concatenate([planes, planes[..., :1]], axis=-1)
    assert len({tuple(edges) for edges in windows(raw(colours)).tolist()}) == 1


def test_the_declared_window_wins_and_keeps_the_sense() -> None:
    array = np.array([[[0.0], [5.0], [10.0]]])
    assert scaled(array, windows(raw(array), (0, 10))).ravel().tolist() == [0, 0.5, 1]
    white = raw(array, low_is_white=True)
    assert scaled(array, windows(white, (0, 10))).ravel().tolist() == [1, 0.5, 0]
    assert scaled(array, windows(white, (0, 20))).ravel().tolist() == [1, 0.75, 0.5]


def test_eight_bits_are_divided_by_255_to_the_bit() -> None:
    array = np.arange(256, dtype=np.uint8)[:, None, None]
    np.testing.assert_array_equal(scaled(array, windows(raw(array))).ravel(), np.arange(256, dtype=np.float32) / 255)


def test_values_that_are_not_finite_name_the_file() -> None:
    with pytest.raises(DataError, match="scan: it holds values that are not finite"):
        windows(raw(np.array([[[1.0], [np.nan]]])))


def test_a_constant_picture_becomes_zero() -> None:
    array = np.full((2, 2, 1), 7.0)
    assert scaled(array, windows(raw(array))).max() == 0


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_numbers_that_no_float_can_span_are_refused(channels: int) -> None:
    """3e38 less -3e38 is infinite in float32, and every pixel would be no number."""
    half = np.full((4, 4, channels), 3e38, np.float32)
    half[:2] *= -1
    with pytest.raises(DataError, match="numbers too large to be scaled"):
        windows(Raw(Path("a.npy"), half, np.eye(4), volume=False))
