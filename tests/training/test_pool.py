# SPDX-License-Identifier: Apache-2.0
"""Pools, batches of indices, resampling of masks."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.errors import DataError
from dsfedmed.training.pool import TensorPool, in_memory, index_batches, is_encoder, mask_at_size, unit_images


def test_a_mask_on_a_coarser_grid_covers_cells_that_are_half_full() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]).view(1, 1, 2, 4)
    assert mask_at_size(mask, (1, 2)).flatten().tolist() == [1.0, 0.0]
    assert mask_at_size(mask, (2, 4)) is mask


def test_byte_images_are_scaled() -> None:
    pool = TensorPool(torch.full((2, 1, 2, 2), 255, dtype=torch.uint8), torch.zeros(2, 1, 2, 2, dtype=torch.uint8))
    assert float(pool.images([1]).max()) == 1.0
    floats = torch.rand(1, 1, 2, 2)
    assert torch.equal(unit_images(floats), floats)


def test_batches_cover_the_indices_in_order() -> None:
    assert list(index_batches(torch.tensor([4, 2, 9, 1, 0]), 2)) == [[4, 2], [9, 1], [0]]


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="do not pair up"):
        TensorPool(torch.rand(2, 1, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.uint8))
    with pytest.raises(DataError, match="do not pair up"):
        TensorPool(torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 5, dtype=torch.uint8))


def test_encoders_are_told_by_their_names() -> None:
    names = ["image_encoder.a", "prompt_encoder.b", "mask_decoder.c", "image_encoder_like.d"]
    assert [is_encoder(name) for name in names] == [True, True, False, False]


class Decoded:
    """A pool that reads float images from elsewhere and counts how many."""

    def __init__(self, images: torch.Tensor) -> None:
        self.values = images
        self.read = 0

    def __len__(self) -> int:
        return len(self.values)

    def images(self, indices: list[int]) -> torch.Tensor:
        self.read += len(indices)
        return self.values[indices]

    def labels(self, indices: list[int]) -> torch.Tensor:
        return torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)


def test_a_pool_in_memory_is_read_once_and_gives_the_same_to_the_bit() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(40, 1, 1, 1)
    pool = Decoded(levels.to(torch.float32).div_(255.0))
    kept = in_memory(pool)
    assert isinstance(kept, TensorPool)
    read = pool.read
    assert torch.equal(kept.images([39, 3]), pool.values[[39, 3]])
    assert kept.labels([39, 3])[:, 0, 0, 0].tolist() == [39, 3]
    assert pool.read == read == 41


@pytest.mark.parametrize(("levels", "limit"), [(255.0, 40 * 512 - 1), (254.5, 1 << 20)])
def test_a_pool_that_does_not_fit_or_is_no_bytes_stays_as_it_is(levels: float, limit: int) -> None:
    pool = Decoded(torch.full((40, 1, 16, 16), 7 / levels))
    assert in_memory(pool, limit) is pool


def test_a_cell_with_an_ignored_pixel_is_ignored() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0], [1.0, torch.nan, 1.0, 0.0]]).view(1, 1, 2, 4)
    assert mask_at_size(mask, (1, 2)).isnan().flatten().tolist() == [True, False]
    assert float(mask_at_size(mask, (1, 2))[..., 1]) == 1.0
