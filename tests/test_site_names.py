# SPDX-License-Identifier: Apache-2.0
"""Names of sites: plain ones travel as they are, others under one made of them, and people read their own."""

from __future__ import annotations

import re
import unicodedata

import pytest

from dsfedmed.ranges import SiteName
from dsfedmed.site_names import PLAIN, own_name, plain_name, with_own_names

ODD = [
    "Klinik Nord",
    "st.anna",
    "Süd",
    "O'Brien",
    "ward #3",
    "東京",
    " ",
    "-x",
    "a" * 65,
    "server",
    "Server",
    "Maßstab",
]


@pytest.mark.parametrize("name", ["site_a", "SITE_A", "Site-B", "busbra_aplio300", "a" * 64])
def test_a_plain_name_travels_as_it_is(name: str) -> None:
    assert plain_name(name) == name


@pytest.mark.parametrize("name", ODD)
def test_any_other_gets_one_that_every_part_takes(name: str) -> None:
    made = plain_name(name)
    assert PLAIN.fullmatch(made)
    assert re.fullmatch(r"[A-Za-z0-9-_]+", made)  # NVFlare's rule for a client
    (form,) = SiteName.__metadata__  # type: ignore[attr-defined]
    assert re.fullmatch(form.pattern, made)
    assert plain_name(name) == made


def test_the_made_name_can_be_read() -> None:
    assert plain_name("Klinik Nord").startswith("Klinik_Nord-")
    assert plain_name("Süd").startswith("Sued-")
    assert plain_name("São José").startswith("Sao_Jose-")
    assert plain_name("東京").startswith("site-")


def test_names_that_look_alike_when_made_plain_stay_apart() -> None:
    made = {plain_name(name) for name in ("st.anna", "st anna", "st_anna", "st/anna", "ST.anna")}
    assert len(made) == 5


def test_composed_and_decomposed_letters_are_one_name() -> None:
    decomposed = unicodedata.normalize("NFD", "Süd")
    assert decomposed != "Süd"
    assert plain_name(decomposed) == plain_name("Süd")
    assert own_name(decomposed) == "Süd"


def test_people_read_the_own_name_in_keys_lists_and_texts() -> None:
    plain = plain_name("Süd")
    own = {plain: "Süd"}
    found = {plain: [f"{plain}: 3 images", {"best": (1, None, plain)}], "sites": "site_a"}
    assert with_own_names(found, own) == {"Süd": ["Süd: 3 images", {"best": [1, None, "Süd"]}], "sites": "site_a"}
    assert with_own_names(found, {}) is found


def test_a_path_and_a_longer_name_stay() -> None:
    plain = plain_name("Süd")
    for text in (f"read {plain}/worker.log", f"synthetic/{plain}.png", f"{plain}0", f"x{plain}", f"{plain}-2"):
        assert with_own_names(text, {plain: "Süd"}) == text
    assert with_own_names(f"dsfedmed@{plain}.", {plain: "Süd"}) == "dsfedmed@Süd."


def test_own_names_with_signs_of_patterns_are_texts() -> None:
    plain = plain_name(r"a\1 (b)")
    assert with_own_names(f"{plain} left", {plain: r"a\1 (b)"}) == r"a\1 (b) left"
