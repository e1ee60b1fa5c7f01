# SPDX-License-Identifier: Apache-2.0
"""The list of planted faults does not rot: each can still be planted, and its tests are there.

Whether the tests notice them is for `python -m tests.planted_faults.plant`, which takes minutes.
"""

from __future__ import annotations

import pytest

from tests.planted_faults.plant import ROOT, Fault, Verdict, is_as_expected, page_of, problems_of, read_faults


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault.name)
def test_it_can_be_planted_and_its_tests_exist(fault: Fault) -> None:
    assert problems_of(fault, ROOT) == []


def test_nineteen_of_twenty_must_be_noticed() -> None:
    faults = read_faults()
    assert len(faults) >= 80
    assert sum(bool(fault.survives) for fault in faults) <= 0.05 * len(faults)


@pytest.mark.parametrize(
    ("end", "reason", "expected"),
    [("killed", "", True), ("survived", "", False), ("survived", "rounding", True), ("broken", "rounding", False)],
)
def test_only_a_written_reason_excuses_a_survivor(end: str, reason: str, expected: bool) -> None:
    fault = Fault("a", "custom/dsfedmed/algorithms/a.py", "x", "y", ("t",), reason)
    assert is_as_expected(fault, Verdict(end)) is expected  # type: ignore[arg-type]


def test_the_page_by_hand() -> None:
    faults = [
        Fault("one", "custom/dsfedmed/algorithms/a.py", "x", "y", ("t",)),
        Fault("two", "custom/dsfedmed/algorithms/robust/a.py", "x", "y", ("t",), "it changes nothing"),
        Fault("three", "custom/dsfedmed/training/b.py", "x", "y", ("t",)),
    ]
    verdicts = {"one": Verdict("killed", "t"), "two": Verdict("survived"), "three": Verdict("killed", "t")}
    page = page_of(faults, verdicts)
    assert "2 of 3 are noticed (67 %)" in page
    assert "| `dsfedmed/algorithms` | 2 | 1 |" in page
    assert page.endswith("- `two`: it changes nothing\n")
