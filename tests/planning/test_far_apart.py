# SPDX-License-Identifier: Apache-2.0
"""Signs and distances by hand, and the words that follow from what was measured."""

from __future__ import annotations

import pytest

from dsfedmed.planning.far_apart import Apartness, Likeness, how_far_apart, unlike_all, words
from tests.planning.samples import look


def test_the_distance_by_hand() -> None:
    # Means of 0.2 and 0.4 with a spread of 0.1 at either site; everything else is the same.
    one = [look(mean=0.1), look(mean=0.3)]
    other = [look(mean=0.3), look(mean=0.5)]
    found = how_far_apart({"a": one, "b": other, "c": one})
    # one of six features differs, by 0.2 / 0.1 = 2 spreads: sqrt(4 / 6)
    assert found.distance == pytest.approx((4 / 6) ** 0.5)
    assert found.pair == ("a", "b")
    assert found.likeness == "alike"
    assert found.signs == {"a": 1, "b": 1, "c": 1}


def test_a_spread_of_nothing_is_a_grey_level() -> None:
    found = how_far_apart({"a": [look(mean=0.300)], "b": [look(mean=0.301)]})
    assert found.distance == pytest.approx((1 / 6) ** 0.5)


def test_far_apart_without_another_sign() -> None:
    found = how_far_apart({"a": [look(mean=0.1), look(mean=0.12)], "b": [look(mean=0.3), look(mean=0.32)]})
    assert found.distance == pytest.approx(20 / 6**0.5)  # 0.2 is twenty times the spread of 0.01
    assert found.likeness == "far_apart"


def test_the_sign_counts_where_three_quarters_of_the_images_have_it() -> None:
    bright, dark = look(contrast=0.1), look(contrast=-0.1)
    found = how_far_apart({"a": [bright] * 3 + [dark], "b": [bright, dark], "c": [dark] * 4})
    assert found.signs == {"a": 1, "b": 0, "c": -1}
    assert found.likeness == "opposite"
    assert how_far_apart({"a": [bright] * 4, "b": [bright, dark]}).likeness != "opposite"


def test_sites_without_masks_are_compared_by_the_rest() -> None:
    bare = look(contrast=None, areas=None, objects=(), mean=0.302)
    found = how_far_apart({"a": [look()], "b": [bare]})
    assert found.signs == {"a": 1, "b": 0}
    assert found.distance == pytest.approx((4 / 5) ** 0.5)  # 0.002 is two levels, over five features


def test_one_site_is_no_federation() -> None:
    assert how_far_apart({"a": [look()]}).likeness == "unknown"


@pytest.mark.parametrize(
    ("likeness", "training", "said"),
    [
        ("opposite", [200, 50], "Likely where rounds are few or a hospital may leave"),
        ("far_apart", [90, 90], "Not shown: the sites are far apart"),
        ("alike", [120, 80], "Unlikely, use FedAvg"),
        ("alike", [120, 79], "Not shown: the sites are alike and labels are few"),
        ("unknown", [50], "Unknown"),
    ],
)
def test_the_words(likeness: Likeness, training: list[int], said: str) -> None:
    assert words(Apartness(likeness, 1.0, ("a", "b"), {}), training).startswith(said)


def test_a_held_out_site_that_is_unlike_every_source_is_named() -> None:
    sources = {"a": [look(mean=0.1), look(mean=0.2)], "b": [look(mean=0.2), look(mean=0.3)]}
    dark = [look(mean=0.1, contrast=-0.1), look(mean=0.2, contrast=-0.1)]
    far = [look(mean=0.9), look(mean=0.92)]
    said = unlike_all(sources, {"dark": dark, "far": far, "like": sources["a"]})
    assert list(said) == ["dark", "far"]
    assert said["dark"].startswith("objects of the other contrast, distance ")
    # means of 0.91 and 0.25 (b is the nearest); spreads of 0.01 and 0.05; one of six features differs:
    # 0.66 / sqrt((0.01^2 + 0.05^2) / 2) / sqrt(6) = 18.3 / 2.45
    assert said["far"] == "distance 7.5 to the nearest"
    one_like = {**sources, "c": dark}
    assert unlike_all(one_like, {"dark": dark}) == {}
