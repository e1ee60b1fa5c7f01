# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from dsfedmed.reporting.units import (
    MINUS,
    byte_text,
    change_text,
    count_text,
    seconds_text,
    signed,
    signed_interval_text,
)


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


@pytest.mark.parametrize(
    ("reduction", "said"),
    [
        (0.123, "12.3 % less than FedSAM"),
        (-0.72, "72.0 % more than FedSAM"),
        (-1.99, "199.0 % more than FedSAM"),
        (-15.296, "16 times as much as FedSAM"),
    ],
)
def test_a_change_is_read_at_a_glance(reduction: float, said: str) -> None:
    assert change_text(reduction, "FedSAM") == said
    assert change_text(reduction) == said.rpartition(" than" if " than" in said else " as FedSAM")[0]
