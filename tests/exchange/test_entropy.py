# SPDX-License-Identifier: Apache-2.0
"""Coded numbers come back to the last bit; damaged ones, too many and too few are refused without unpacking them."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.entropy import compress, decode_bytes


@given(st.lists(st.integers(-127, 127), max_size=300))
@settings(deadline=None)
def test_nothing_is_lost(numbers: list[int]) -> None:
    codes = torch.tensor(numbers, dtype=torch.int8)
    coded = compress(codes)
    assert (coded.dtype, coded.ndim) == (torch.uint8, 1)
    assert torch.equal(decode_bytes(coded, len(numbers), "site_a"), codes)


def test_gaussian_numbers_come_near_their_entropy() -> None:
    """For a step of sigma / 36 the entropy is log2(36 sqrt(2 pi e)) = 7.2 bits, nine tenths of a byte."""
    codes = (torch.randn(200_000, generator=torch.Generator().manual_seed(0)) * 36).round().clamp(-127, 127)
    size = compress(codes.to(torch.int8)).numel()
    assert 0.90 * 200_000 < size < 0.92 * 200_000


@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_weights_is_refused(change: int) -> None:
    coded = compress(torch.arange(100, dtype=torch.int8))
    with pytest.raises(PayloadError, match=r"site_a: sent codes for another number of weights"):
        decode_bytes(coded, 100 + change, "site_a")


@pytest.mark.parametrize("how", ["cut", "altered", "trailing", "empty"])
def test_damaged_codes_are_refused(how: str) -> None:
    coded = compress(torch.arange(100, dtype=torch.int8))
    middle = len(coded) // 2
    damaged = {
        "cut": coded[:-3],
        "altered": torch.cat([coded[:middle], coded[middle:] ^ 85]),
        "trailing": torch.cat([coded, coded[:1]]),
        "empty": coded[:0],
    }[how]
    with pytest.raises(PayloadError, match="site_a: sent codes"):
        decode_bytes(damaged, 100, "site_a")


@pytest.mark.parametrize("coded", [torch.zeros(4), torch.zeros(2, 2, dtype=torch.uint8)])
def test_what_is_no_byte_vector_is_refused(coded: torch.Tensor) -> None:
    with pytest.raises(PayloadError, match="not as bytes"):
        decode_bytes(coded, 4, "site_a")


def test_a_bomb_is_never_unpacked() -> None:
    """A hundred million zeros in a hundred kilobytes: no more memory than what was announced."""
    bomb = torch.frombuffer(bytearray(zlib.compress(bytes(100_000_000), 9)), dtype=torch.uint8)
    tracemalloc.start()
    with pytest.raises(PayloadError):
        decode_bytes(bomb, 1000, "site_a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
