# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from dsfedmed.reporting.units import MINUS, byte_text, count_text, seconds_text, signed, signed_interval_text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (5 * 2**29, "2.50 GiB")]
)
def test_bytes(count: int, text: str) -> None:
    assert byte_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.24, "0.2 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(950, "950"), (4521, "4,521"), (304_000, "304 k"), (1_820_000, "1.82 M")])
def test_counts(count: int, text: str) -> None:
    assert count_text(count) == text


def test_signs() -> None:
    assert (signed(2.84), signed(-2.84), signed(-0.04), signed(0.0)) == ("+2.8", f"{MINUS}2.8", "0.0", "0.0")
    assert signed_interval_text({"mean": 1.0, "low": -0.5, "high": 2.5}) == f"+1.0 [{MINUS}0.5, +2.5]"
