# SPDX-License-Identifier: Apache-2.0
"""Splits by patient, and options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datalist import PARTS
from dsfedmed.data.datasets.plan import RecipeOptions, Sample, assign_parts, plain_name
from dsfedmed.data.datasets.registry import RECIPES, find_recipe
from dsfedmed.errors import ConfigError

OFFICIAL = st.sampled_from([None, None, None, "test", "validation"])


def sample(case: int, number: int, part: str | None) -> Sample:
    return Sample(f"{case}_{number}", f"c{case}", (), lambda _: [], part)


@given(st.lists(st.tuples(st.integers(0, 20), OFFICIAL), max_size=60), st.integers(0, 50))
def test_every_case_stands_in_one_part_and_an_official_test_stays_a_test(
    drawn: list[tuple[int, str | None]], seed: int
) -> None:
    samples = [sample(case, number, part) for number, (case, part) in enumerate(drawn)]
    parts = assign_parts(samples, "recipe", "site", RecipeOptions(seed=seed))
    assert set(parts) == {one.case for one in samples}
    assert set(parts.values()) <= set(PARTS)
    for one in samples:
        if one.part == "test":
            assert parts[one.case] == "test"
        if one.part == "validation":
            assert parts[one.case] in ("validation", "test")


def test_shares_by_hand() -> None:
    free = [sample(case, 0, None) for case in range(20)]
    zero, one = RecipeOptions(), RecipeOptions(seed=1)
    parts = list(assign_parts(free, "r", "s", zero).values())
    assert [parts.count(part) for part in PARTS] == [16, 2, 2]
    parts = list(assign_parts([*free, sample(99, 0, "test")], "r", "s", zero).values())
    assert [parts.count(part) for part in PARTS] == [18, 2, 1]
    assert assign_parts(free, "r", "s", zero) == assign_parts(free[::-1], "r", "s", zero)
    assert assign_parts(free, "r", "s", zero) != assign_parts(free, "r", "s", one)
    assert assign_parts(free, "r", "s", zero) != assign_parts(free, "r", "other", zero)
    assert set(assign_parts(free, "r", "s", RecipeOptions(unseen=("s",))).values()) == {"test"}


def test_options_and_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="labelled or all"):
        RecipeOptions(slices="some")
    with pytest.raises(ConfigError, match="16 px"):
        RecipeOptions(tile_px=16)
    with pytest.raises(ConfigError, match=r"has no site 'bmc'\. It has BIDMC, BMC"):
        RECIPES["prostate"].wanted(RecipeOptions(only=("bmc",)))
    assert RECIPES["prostate"].wanted(RecipeOptions(only=("UCL", "HK"))) == ("HK", "UCL")
    with pytest.raises(ConfigError, match=r"'fundas' is not known\. There is fundus"):
        find_recipe("fundas")
    assert plain_name("../i0000,0000b x") == "_i0000_0000b_x"


def test_every_recipe_says_where_and_under_which_licence() -> None:
    for recipe in RECIPES.values():
        assert find_recipe(recipe.name) is recipe
        for said in ("Get it:", "Makes:", "Differs from the paper:", recipe.name):
            assert said in recipe.about
        assert "icence" in recipe.about or "CC BY" in recipe.about
        assert recipe.homepage.startswith("https://")
        assert recipe.sites
        assert recipe.licence
        assert recipe.citation
