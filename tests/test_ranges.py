# SPDX-License-Identifier: Apache-2.0
"""Ranges of fields that cross the wire: their ends by hand, and what names may not be."""

from __future__ import annotations

import math
import typing
from typing import Any

import pytest

from dsfedmed import ranges
from dsfedmed.ranges import DEFAULTS, Between, Length, Matches, shortened


def limit_of(kind: Any) -> Any:
    """Return the range of an annotated type."""
    return typing.get_args(kind)[1]


@pytest.mark.parametrize(
    ("value", "good"), [(1, True), (8, True), (4.5, True), (0.999, False), (8.001, False), (-math.inf, False),
                        (math.inf, False), (math.nan, False)],
)  # fmt: skip
def test_a_number_is_finite_and_between_the_ends(value: float, good: bool) -> None:
    problem = Between(1, 8).problem(value)
    assert (problem == "") is good
    assert good or problem == f"{value!r} is not between 1 and 8"


@pytest.mark.parametrize(
    ("text", "good"), [("abc", True), ("", False), ("abcd", False), ("abc\n", False), ("\nabc", False), ("xabc", False)]
)
def test_a_pattern_covers_the_whole_string(text: str, good: bool) -> None:
    assert (Matches("[a-c]{1,3}").problem(text) == "") is good


def test_a_size_has_an_end() -> None:
    assert Length(3).problem(3) == ""
    assert Length(3).problem(4) == "4 entries are more than 3"


PATHS = ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\0", "a\n", " a", "a b", "ä", "-x", ".hidden", "x" * 65]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("kind", ["Name", "SiteName", "ScoredName"])
def test_what_becomes_a_part_of_a_file_name_leads_nowhere_else(kind: str, name: str) -> None:
    assert limit_of(getattr(ranges, kind)).problem(name) != ""


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Name", ["a", "A1", "_x", "fedavg_equal-steps", "x" * 64], ["a.b", "a@b", "a/b"]),
        ("SiteName", ["site_a", "hospital-1.example", "1"], ["site@a", "a/b"]),
        ("ScoredName", ["dsfedmed", "local@site_a", "local@hospital-1.example"], ["@site_a", "a@", "a@b@c", "a.b"]),
        ("Tag", ["fedavg/loss", "base_loss"], ["", "/loss", "a loss", "a.b", "x" * 129]),
        ("Sha256", ["0" * 64, "abcdef" + "0" * 58], ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64]),
        ("OptionalSha256", ["", "0" * 64], ["0", "0" * 65]),
        ("Token", ["cell.job", "/tmp/a b", "é"], ["", "a\nb", "\x00", "x" * 4097]),
    ],
)
def test_words_by_hand(kind: str, good: list[str], bad: list[str]) -> None:
    limit = limit_of(getattr(ranges, kind))
    assert [word for word in good if limit.problem(word)] == []
    assert [word for word in bad if not limit.problem(word)] == []


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("Count", 0, 10**8), ("Bytes", 0, 2**44), ("Steps", 0, 10**9), ("Positive", 1, 10**8), ("Round", 0, 10**6),
        ("Pixels", 1, 2**14), ("Classes", 1, 255), ("Index", 0, 2**31 - 1), ("Fraction", 0, 1), ("Seed", 0, 2**64 - 1),
    ],
)  # fmt: skip
def test_numbers_end_where_they_are_told_to(kind: str, least: int, most: int) -> None:
    limit = limit_of(getattr(ranges, kind))
    assert (limit.problem(least), limit.problem(most)) == ("", "")
    assert limit.problem(least - 1)
    assert limit.problem(most + 1)


def test_every_type_has_a_range_where_a_field_names_none() -> None:
    assert set(DEFAULTS) == {int, float, str, tuple, dict}
    assert DEFAULTS[float].problem(math.nan) != ""
    assert DEFAULTS[str].problem(4001) != ""


def test_an_error_shows_no_more_than_sixty_characters() -> None:
    assert shortened("abc") == "'abc'"
    assert len(shortened("x" * 1000)) <= 60
    assert "..." in shortened("x" * 1000)
