# SPDX-License-Identifier: Apache-2.0
"""Who may take what out of the synthetic set, image by image."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.federated.server.vetoes import Decision, decide

ORIGIN = ("a", "a", "b", "b", "c", "c")
SITES = ("a", "b", "c")


def test_a_few_vetoes_hold_wherever_they_are() -> None:
    assert decide(ORIGIN, {"a": {0, 2}, "b": {5}, "c": set()}, 0.5) == Decision([1, 3, 4], {}, {})


def test_a_branch_that_repeats_its_images_has_no_part_in_the_set() -> None:
    assert decide(ORIGIN, {"a": {0, 1}, "b": set(), "c": set()}, 0.5) == Decision([2, 3, 4, 5], {"a": 1.0}, {})


def test_a_site_that_vetoes_the_others_is_not_heeded_there() -> None:
    """Three of the four images of others, and one of its own: that one goes."""
    found = decide(ORIGIN, {"a": {0, 2, 3, 4}, "b": {4}, "c": set()}, 0.5)
    assert found == Decision([1, 2, 3, 5], {}, {"a": 0.75})


def test_exactly_the_share_that_may_be_vetoed_is_heeded() -> None:
    assert decide(ORIGIN, {"a": {0, 2, 3}, "b": set(), "c": set()}, 0.5) == Decision([1, 4, 5], {}, {})


def test_with_no_limit_one_site_still_cannot_empty_the_set() -> None:
    assert decide(ORIGIN, {"a": set(range(6)), "b": {2}, "c": set()}, 1.0) == Decision([3, 4, 5], {}, {"a": 1.0})


def test_sites_whose_branches_all_repeat_leave_nothing() -> None:
    """Nobody is overruled there: each takes out its own."""
    found = decide(ORIGIN, {"a": {0, 1}, "b": {2, 3}, "c": {4, 5}}, 0.5)
    assert found == Decision([], {"a": 1.0, "b": 1.0, "c": 1.0}, {})


def test_a_site_without_images_in_the_set_has_none_of_its_own() -> None:
    assert decide(("a", "a"), {"b": {0, 1}}, 0.5) == Decision([0, 1], {}, {"b": 1.0})


@settings(deadline=None, max_examples=300)
@given(
    honest=st.dictionaries(st.sampled_from(SITES[:2]), st.sets(st.integers(0, 5), max_size=1), min_size=2),
    hostile=st.sets(st.integers(0, 5)),
    limit=st.sampled_from((0.0, 0.25, 0.5, 0.9, 1.0)),
)
def test_a_hostile_site_takes_no_more_than_its_part_and_what_the_limit_allows(
    honest: dict[str, set[int]], hostile: set[int], limit: float
) -> None:
    without, found = decide(ORIGIN, {**honest, "c": set()}, limit), decide(ORIGIN, {**honest, "c": hostile}, limit)
    assert found.kept or all(ORIGIN[index] == "c" for index in without.kept)
    gone = set(without.kept) - set(found.kept) - {4, 5}
    assert gone <= hostile
    assert len(gone) <= max(limit * 4, 0)
    assert not hostile & {4, 5} & set(found.kept), "its word on its own images always holds"
    assert set(honest) & set(found.declining) <= set(without.declining) or limit == 1.0
