# SPDX-License-Identifier: Apache-2.0
"""Position tables at another image size: against segment-anything's own interpolation, and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling.image_encoder import get_rel_pos

from dsfedmed.networks.promptless_sam.positions import fit_positions, resize_absolute, resize_relative


@settings(max_examples=30)
@given(old=st.integers(2, 20), new=st.integers(2, 20), seed=st.integers(0, 99))
def test_relative_rows_are_those_segment_anything_makes_at_each_forward(old: int, new: int, seed: int) -> None:
    table = torch.randn(2 * old - 1, 6, generator=torch.Generator().manual_seed(seed))
    official = get_rel_pos(new, new, table)  # (query, key, d): interpolates where sizes differ
    ours = resize_relative(table, 2 * new - 1)
    rows = torch.arange(new)[:, None] - torch.arange(new)[None, :] + new - 1
    torch.testing.assert_close(ours[rows], official)


def test_relative_rows_by_hand() -> None:
    table = torch.tensor([[0.0], [2.0], [4.0]])
    # Five cells over three: centres at -0.2, 0.4, 1, 1.6, 2.2, held at the ends.
    torch.testing.assert_close(resize_relative(table, 5), torch.tensor([[0.0], [0.8], [2.0], [3.2], [4.0]]))


@settings(max_examples=20)
@given(old=st.integers(2, 16), new=st.integers(1, 32), value=st.floats(-2, 2))
def test_a_constant_table_stays_constant(old: int, new: int, value: float) -> None:
    resized = resize_absolute(torch.full((1, old, old, 3), value), new)
    torch.testing.assert_close(resized, torch.full((1, new, new, 3), value), rtol=1e-4, atol=1e-5)


def test_rows_and_columns_keep_their_places() -> None:
    ramp = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 8, 1)
    grown = resize_absolute(ramp, 16)[0, :, :, 0]
    torch.testing.assert_close(grown[4:12, 3], torch.arange(8) * 0.5 + 1.75, rtol=1e-3, atol=1e-3)
    assert torch.allclose(grown, grown[:, :1].expand_as(grown), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_dtype_and_untouched_tables_stay(dtype: torch.dtype) -> None:
    assert resize_relative(torch.zeros(5, 2, dtype=dtype), 9).dtype == dtype
    assert resize_absolute(torch.zeros(1, 2, 2, 4, dtype=dtype), 4).dtype == dtype


def test_only_tables_of_another_grid_are_fitted() -> None:
    own = {
        "e.pos_embed": torch.zeros(1, 4, 4, 8),
        "e.blocks.0.attn.rel_pos_h": torch.zeros(27, 4),
        "e.blocks.1.attn.rel_pos_h": torch.zeros(7, 4),
        "e.blocks.1.attn.rel_pos_w": torch.zeros(7, 4),
        "e.proj.weight": torch.zeros(8, 3),
    }
    state = {
        "e.pos_embed": torch.zeros(1, 8, 8, 8),
        "e.blocks.0.attn.rel_pos_h": torch.zeros(27, 4),  # a window: the same at any size
        "e.blocks.1.attn.rel_pos_h": torch.zeros(15, 4),
        "e.blocks.1.attn.rel_pos_w": torch.zeros(15, 5),  # another width: another architecture
        "e.proj.weight": torch.zeros(4, 3),
    }
    fitted = fit_positions(own, state)
    assert {key: tuple(value.shape) for key, value in fitted.items()} == {
        "e.pos_embed": (1, 4, 4, 8),
        "e.blocks.1.attn.rel_pos_h": (7, 4),
    }
