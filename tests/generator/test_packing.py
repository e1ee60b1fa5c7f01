# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.errors import DataError, PayloadError
from dsfedmed.generator import pack_label_maps, unpack_label_maps


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 5), size=st.integers(1, 9), classes=st.integers(1, 9), seed=st.integers(0, 999))
def test_round_trip(count: int, size: int, classes: int, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, classes + 1, (count, 1, size, size), generator=draws, dtype=torch.uint8)
    assert torch.equal(unpack_label_maps(pack_label_maps(maps, classes), classes, size), maps)


def test_450_binary_maps_are_a_quarter_of_a_megabyte() -> None:
    packed = pack_label_maps(torch.ones(450, 1, 64, 64, dtype=torch.uint8), 1)
    assert sum(value.numel() * value.element_size() for value in packed.values()) == 450 * 64 * 64 // 8 + 24


def test_planes_by_hand() -> None:
    maps = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8)[None, None]
    assert pack_label_maps(maps, 3)["planes"].tolist() == [[0b01010000], [0b00110000]]


def spoil(packed: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    planes, shape = packed["planes"], packed["shape"]
    return {
        "key": {"planes": planes},
        "type": {"planes": planes.float(), "shape": shape},
        "rank": {"planes": planes[0], "shape": shape},
        "short": {"planes": planes[:, :-1], "shape": shape},
        "count": {"planes": planes, "shape": shape + torch.tensor([10**12, 0, 0])},
        "none": {"planes": planes[:, :0], "shape": shape * torch.tensor([0, 1, 1])},
        "size": {"planes": planes, "shape": torch.tensor([2, 16, 4])},
        "label": {"planes": planes | 255, "shape": shape},
    }[how]


@pytest.mark.parametrize("how", ["key", "type", "rank", "short", "count", "none", "size", "label"])
def test_spoilt_payload_is_refused_with_the_sender(how: str) -> None:
    packed = pack_label_maps(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 2)
    with pytest.raises(PayloadError, match="site_a"):
        unpack_label_maps(spoil(packed, how), 2, 8, where="site_a")


@pytest.mark.parametrize("maps", [torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2, dtype=torch.uint8)])
def test_unfit_label_maps_are_refused(maps: Tensor) -> None:
    with pytest.raises(DataError):
        pack_label_maps(maps, 1)
