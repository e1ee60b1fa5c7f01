# SPDX-License-Identifier: Apache-2.0
"""What the others gain without one site, by hand; who has a say."""

from __future__ import annotations

import pytest

from dsfedmed.algorithms.robust.leave_one_out import gain_without, harm, most_harmful

FULL = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}


def test_the_lower_median_of_the_others_counts() -> None:
    assert gain_without("d", FULL, {"a": 0.6, "b": 0.55, "c": 0.9, "d": 0.0}) == pytest.approx(0.1)
    assert gain_without("d", {"a": 0.5, "b": 0.5, "d": 0.5}, {"a": 0.9, "b": 0.4}) == pytest.approx(-0.1)


def test_a_site_has_no_say_about_its_own_update() -> None:
    assert gain_without("d", FULL, {**FULL, "d": 1.0}) == 0
    assert gain_without("d", FULL, {**FULL, "d": 0.0}) == 0


def test_one_liar_can_neither_have_another_refused_nor_save_it() -> None:
    for lie in (0.0, 1.0):
        assert gain_without("d", FULL, {**FULL, "a": lie}) == 0
        assert gain_without("d", FULL, {"a": lie, "b": 0.8, "c": 0.8}) == pytest.approx(0.3)


def test_fewer_than_two_others_say_nothing() -> None:
    assert gain_without("d", {"a": 0.1, "d": 0.1}, {"a": 0.9, "d": 0.9}) is None
    assert gain_without("d", {"public": 0.1}, {"public": 0.9}, least=1) == pytest.approx(0.8)


def test_a_little_harm_adds_up_and_none_takes_away() -> None:
    found = 0.0
    for gain in (0.03, 0.03, 0.03):
        found = harm(found, gain, 0.05)
    assert found == pytest.approx(0.06), "3 * (0.03 - 0.01)"
    assert harm(found, None, 0.05) == found
    assert harm(found, -0.02, 0.05) == pytest.approx(0.03)
    assert harm(0.0, 0.01, 0.05) == 0
    assert harm(0.01, -0.5, 0.05) == 0


def test_the_most_harmful_is_the_one_above_the_margin() -> None:
    alike = {site: {**FULL} for site in FULL}
    assert most_harmful({"a": 0.05, "b": 0.0}, 0.05, FULL, alike) is None
    assert most_harmful({"a": 0.04, "b": 0.3}, 0.05, FULL, alike) == "b"


def test_of_two_that_are_alike_none_is_refused() -> None:
    """Either could be the honest one; a difference of a third of the margin decides."""
    alike = {site: {**FULL} for site in FULL}
    assert most_harmful({"b": 0.3, "a": 0.3}, 0.06, FULL, alike) is None
    without = {site: {name: dice + 0.1 for name, dice in FULL.items()} for site in ("a", "b")}
    without["b"] = {name: dice + 0.021 for name, dice in without["b"].items()}
    assert most_harmful({"a": 0.2, "b": 0.2}, 0.06, FULL, without) == "b"
    assert most_harmful({"a": 0.2, "b": 0.2}, 0.09, FULL, without) is None


def test_of_two_suspects_those_above_suspicion_choose() -> None:
    """The bad one "a" gains most without the odd "b" and says so; "c" and "d" gain 0.1 without it, 0.2 without "a"."""
    without = {"a": {"a": 0.5, "b": 0.5, "c": 0.7, "d": 0.7}, "b": {"a": 1.0, "b": 0.0, "c": 0.6, "d": 0.6}}
    assert most_harmful({"a": 0.2, "b": 0.3}, 0.05, FULL, without) == "a"
    everyone = {site: without.get(site, FULL) for site in FULL}
    harms = {"a": 0.2, "b": 0.3, "c": 0.1, "d": 0.1}
    assert most_harmful(harms, 0.05, FULL, everyone) == "b", "nobody is above suspicion: what speaks against each"


def test_who_was_refused_before_is_taken_before_an_odd_one() -> None:
    alike = {site: {**FULL} for site in FULL}
    assert most_harmful({"a": 0.06, "b": 0.3}, 0.05, FULL, alike, {"a": 1}) == "a"
    assert most_harmful({"a": 0.04, "b": 0.3}, 0.05, FULL, alike, {"a": 1}) == "b"
