# SPDX-License-Identifier: Apache-2.0
"""Eight bits a number: by hand, within half a step, and nothing lost over rounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.exchange.quantisation import dequantise, quantise, row_count

FLOATS = st.floats(-1e6, 1e6, width=32)


def test_rows_by_hand() -> None:
    """Row 1: step 2.54 / 127 = 0.02. Row 2: zeros. Row 3: step 1, halves go to the even neighbour."""
    values = torch.tensor([[2.54, -1.0, 0.011], [0.0, 0.0, 0.0], [127.0, 2.5, -3.5]])
    codes, scales = quantise(values)
    assert codes.dtype == torch.int8
    assert codes.tolist() == [[127, -50, 1], [0, 0, 0], [127, 2, -4]]
    assert scales.tolist() == pytest.approx([0.02, 0.0, 1.0])
    back = dequantise(codes, scales)
    assert back.flatten().tolist() == pytest.approx([2.54, -1.0, 0.02, 0, 0, 0, 127, 2, -4])


@pytest.mark.parametrize(("shape", "rows"), [((), 1), ((5,), 1), ((4, 3), 4), ((2, 3, 3, 3), 2), ((0, 3), 0)])
def test_one_scale_an_output_channel(shape: tuple[int, ...], rows: int) -> None:
    codes, scales = quantise(torch.ones(shape))
    assert codes.shape == shape
    assert scales.shape == (rows,)
    assert row_count(shape) == rows
    assert torch.equal(dequantise(codes, scales), torch.ones(shape))


@given(st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=5))
@settings(deadline=None)
def test_no_number_is_off_by_more_than_half_a_step(rows: list[list[float]]) -> None:
    values = torch.tensor(rows)
    codes, scales = quantise(values)
    error = (values - dequantise(codes, scales)).abs()
    # The last bits of the float32 quotient and product are rounded too.
    limit = scales.unsqueeze(1) / 2 + values.abs() * 2**-22 + 1e-35
    assert bool((error <= limit).all())
    assert codes.abs().max() <= 127


def test_numbers_too_small_for_a_scale_become_zero() -> None:
    codes, scales = quantise(torch.tensor([[1e-40, -1e-42]]))
    assert scales.tolist() == [0.0]
    assert codes.tolist() == [[0, 0]]


def test_the_largest_and_the_smallest_reach_the_last_level_and_not_beyond() -> None:
    values = torch.randn(64, 99, generator=torch.Generator().manual_seed(0))
    codes, _ = quantise(values)
    assert codes.abs().amax(dim=1).tolist() == [127] * 64
