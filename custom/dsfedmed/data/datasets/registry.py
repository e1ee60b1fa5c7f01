# SPDX-License-Identifier: Apache-2.0
"""All recipes by name. A new data set is one file with a ``Recipe`` and one name here."""

from __future__ import annotations

import difflib

from dsfedmed.data.datasets.chaos import CHAOS
from dsfedmed.data.datasets.fundus import FUNDUS, FUNDUS_CUP, FUNDUS_DISC
from dsfedmed.data.datasets.isic import ISIC
from dsfedmed.data.datasets.nuclei import NUCLEI
from dsfedmed.data.datasets.plan import Recipe
from dsfedmed.data.datasets.prostate import PROSTATE
from dsfedmed.errors import ConfigError

RECIPES = {recipe.name: recipe for recipe in (FUNDUS, FUNDUS_DISC, FUNDUS_CUP, PROSTATE, NUCLEI, ISIC, CHAOS)}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        ConfigError: when there is none; the nearest name is given.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        raise ConfigError("data set", f"{name!r} is not known", f"There is {near[0] if near else ', '.join(RECIPES)}.")
    return RECIPES[name]
