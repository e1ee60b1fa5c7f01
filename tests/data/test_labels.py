# SPDX-License-Identifier: Apache-2.0
"""Label maps and mask channels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.labels import to_channels, to_label_map, valid_pixels


def test_nested_and_exclusive_channels_by_hand() -> None:
    labels = torch.tensor([[[[0, 1, 2]]]], dtype=torch.uint8)
    assert to_channels(labels, 2).tolist() == [[[[0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0]]]]
    assert to_channels(labels, 2, nested=False).tolist() == [[[[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]]


def test_contradicting_channels_give_the_highest_class() -> None:
    channels = torch.tensor([[[1, 0, 0]], [[0, 1, 0]]], dtype=torch.bool)
    assert to_label_map(channels).tolist() == [[[1, 2, 0]]]


def test_a_map_without_channel_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="label map"):
        to_channels(torch.zeros(4, 4, dtype=torch.uint8), 1)


@given(st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_the_two_are_inverse(num_classes: int, nested: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes + 1, (2, 1, 5, 3), generator=generator, dtype=torch.uint8)
    channels = to_channels(labels, num_classes, nested)
    assert channels.dtype == torch.float32
    assert channels.shape == (2, num_classes, 5, 3)
    assert torch.equal(to_label_map(channels, nested), labels)


def test_an_ignored_pixel_is_no_background() -> None:
    labels = torch.tensor([[[[0, 1, 255, 2]]]], dtype=torch.uint8)
    for nested, second in ((True, [0.0, 1.0, 0.0, 1.0]), (False, [0.0, 1.0, 0.0, 0.0])):
        channels = to_channels(labels, 2, nested)
        assert channels.isnan()[0].tolist() == [[[False, False, True, False]]] * 2
        assert channels.nan_to_num().tolist()[0][0] == [second]
    assert valid_pixels(labels).tolist() == [[[[True, True, False, True]]]]
    assert to_channels(labels, 255)[0, :, 0, 2].tolist() == [1.0] * 255  # with so many classes 255 is one of them
