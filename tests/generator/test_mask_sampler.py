# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.generator import DeformationConfig, deform_label_maps
from dsfedmed.generator.mask_sampler import foreground_dice


def nested_boxes(corners: list[tuple[int, int]]) -> Tensor:
    """Return label maps (N, 1, 32, 32): a 12 by 10 box of label 1 with a 5 by 4 box of label 2 inside."""
    maps = torch.zeros(len(corners), 1, 32, 32, dtype=torch.uint8)
    for label_map, (x, y) in zip(maps, corners, strict=True):
        label_map[0, x : x + 12, y : y + 10] = 1
        label_map[0, x + 3 : x + 8, y + 3 : y + 7] = 2
    return maps


@settings(max_examples=15, deadline=None)
@given(
    corners=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 22)), min_size=1, max_size=6),
    seed=st.integers(0, 2**31 - 1),
)
def test_results_keep_labels_and_are_no_drawn_mask(corners: list[tuple[int, int]], seed: int) -> None:
    drawn = nested_boxes(corners)
    result = deform_label_maps(drawn, 5, seed)
    assert result.shape == (5, 1, 32, 32)
    assert result.dtype == torch.uint8
    assert type(result) is Tensor
    assert all(set(label_map.unique().tolist()) == {0, 1, 2} for label_map in result)
    for axes in ([], [2], [3], [2, 3]):
        assert float(foreground_dice(result > 0, (drawn > 0).flip(axes)).max()) <= 0.95
    assert torch.equal(result, deform_label_maps(drawn, 5, seed))


def test_inner_class_stays_inside_the_outer() -> None:
    for label_map in deform_label_maps(nested_boxes([(8, 10)]), 20, 0):
        inner = (label_map == 2).float()[None]
        around = torch.nn.functional.max_pool2d(inner, 3, 1, 1)
        assert float((around * (label_map == 0)).mean()) < 0.01


def test_sources_are_used_equally_often() -> None:
    maps = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    maps[0, :, 12:20, 12:20] = 1
    result = deform_label_maps(maps, 10, 0)
    assert int(result.flatten(1).any(dim=1).sum()) == 5  # the empty source stays empty


def test_gives_up_with_the_reason() -> None:
    still = DeformationConfig(0.0, 0.0, 0.0, 0.0, elastic_magnitude=0.0, attempts=3)
    with pytest.raises(DataError, match=r"site_a.*0 lost a label.*Dice 1\.000, limit 0\.95"):
        deform_label_maps(nested_boxes([(8, 10)]), 1, 0, still, where="site_a")


def test_still_deformation_is_the_identity() -> None:
    still = DeformationConfig(0.0, 0.0, 0.0, 0.0, elastic_magnitude=0.0, flip_axes=(), dice_limit=1.0)
    drawn = nested_boxes([(8, 10)])
    assert torch.equal(deform_label_maps(drawn, 1, 0, still), drawn)


def test_dice_by_hand() -> None:
    first = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    second = torch.tensor([[[0, 1, 1, 1]], [[0, 0, 0, 0]]])
    torch.testing.assert_close(foreground_dice(first, second), torch.tensor([[0.4, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("maps", [torch.zeros(0, 1, 8, 8), torch.zeros(1, 8, 8), torch.zeros(1, 1, 8, 8)])
def test_other_tensors_are_refused(maps: Tensor) -> None:
    kind = torch.uint8 if maps.numel() == 0 or maps.ndim == 3 else torch.float32
    with pytest.raises(DataError, match="label maps"):
        deform_label_maps(maps.to(kind), 1, 0)


@pytest.mark.parametrize("values", [{"scale": 1.0}, {"shear": -0.1}, {"dice_limit": 0.0}, {"flip_axes": (2,)}])
def test_impossible_amounts_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="mask sampler"):
        DeformationConfig(**values)  # type: ignore[arg-type]
