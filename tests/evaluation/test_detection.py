# SPDX-License-Identifier: Apache-2.0
"""Missed lesions and false alarms by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dsfedmed.evaluation.detection import DetectedCounts, count_detected


def image(drawn: tuple[bool, ...], found: tuple[bool, ...]) -> Any:
    return SimpleNamespace(drawn=drawn, found=found)


def test_by_hand() -> None:
    """Of the first class: drawn in three images and missed in one; found in one of the two without it."""
    yes, no = True, False
    images = [image((yes, no), (yes, no)), image((yes, yes), (no, no)), image((yes, no), (yes, yes)),
              image((no, no), (yes, no)), image((no, no), (no, no))]  # fmt: skip
    assert count_detected(images) == (DetectedCounts(3, 1, 1), DetectedCounts(1, 1, 1))
