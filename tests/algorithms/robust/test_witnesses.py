# SPDX-License-Identifier: Apache-2.0
"""Which part harms, by hand: one witness, several, two parts that contradict each other, and liars."""

from __future__ import annotations

from dsfedmed.algorithms.robust.witnesses import borne_out, harmful

MARGIN = 0.1


def test_a_gain_counts_as_far_as_the_witness_s_own_part_shows_it() -> None:
    reported, held_out = {"a": 0.4, "b": 0.5, "c": 0.0, "e": 0.9}, {"a": -0.7, "b": 0.3, "c": 0.2, "d": 0.1}
    assert borne_out("a", reported, held_out) == {"a": 0.4, "b": 0.3, "c": 0.0, "d": 0.1}


def test_honest_parts_that_differ_stay() -> None:
    """As measured at nuclei: nobody gains without another's part."""
    gains = {
        "f1": {"f1": -0.06, "f2": -0.04, "h": -0.05},
        "f2": {"f1": -0.08, "h": -0.06},
        "h": {"f1": -0.03, "f2": 0.0},
    }
    assert harmful(gains, MARGIN) == {}


def test_one_witness_is_enough_where_the_site_s_own_validation_agrees() -> None:
    gains = {"f1": {"f1": 0.47, "f2": 0.29, "h": -0.03}, "f2": {"f1": -0.07, "h": 0.0}, "h": {"f1": -0.01, "f2": 0.0}}
    assert harmful(gains, MARGIN) == {"f1": ("f2",)}


def test_two_that_contradict_each_other_are_both_left_out() -> None:
    """The bad site's validation is as wrong as its masks, or it lies: nobody can tell which of the two is wrong."""
    gains = {"f1": {"f1": -0.7, "f2": 0.29, "h": 0.0}, "f2": {"f1": 0.11, "f2": -0.14, "h": 0.0}, "h": {}}
    assert harmful(gains, MARGIN) == {"f1": ("f2",), "f2": ("f1",)}
    silent = {"f1": {"f2": 0.29}, "f2": {"f1": 0.05}, "h": {}}
    assert harmful(silent, MARGIN) == {"f1": ("f2",), "f2": ("f1",)}


def test_the_one_with_more_witnesses_is_bad_even_where_it_accuses() -> None:
    gains = {"bad": {"bad": -0.9, "a": 0.2, "b": 0.2}, "a": {"bad": 0.9, "b": -0.1}, "b": {"bad": 0.9, "a": -0.1}}
    assert harmful(gains, MARGIN) == {"bad": ("a", "b")}


def test_a_lie_that_the_liar_s_own_part_does_not_bear_out_harms_nobody() -> None:
    held_out = {"a": -0.2, "liar": -0.05, "b": 0.0}
    gains = {"a": borne_out("a", {"a": -0.2, "liar": 1.0, "b": 0.0}, held_out), "b": {}, "liar": {}}
    assert harmful(gains, MARGIN) == {}


def test_nothing_is_said_of_nothing() -> None:
    assert harmful({}, MARGIN) == {}
