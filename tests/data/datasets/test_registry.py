# SPDX-License-Identifier: Apache-2.0
"""Data sets by name."""

from __future__ import annotations

import pytest

from dsfedmed.data.datasets.registry import RECIPES, find_recipe
from dsfedmed.errors import ConfigError


def test_every_data_set_is_found_by_its_name() -> None:
    assert set(RECIPES) == {"fundus", "fundus-disc", "fundus-cup", "prostate", "nuclei", "isic", "chaos"}
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert find_recipe(name) is recipe


@pytest.mark.parametrize(("asked", "offered"), [("fundas", "There is fundus"), ("xyz", "There is fundus, ")])
def test_another_name_is_refused_with_what_there_is(asked: str, offered: str) -> None:
    with pytest.raises(ConfigError, match=f"'{asked}' is not known.*{offered}"):
        find_recipe(asked)
