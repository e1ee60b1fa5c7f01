# SPDX-License-Identifier: Apache-2.0
"""Fewer training images: how many, which, and everything else as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.subset import subset_site
from dsfedmed.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (folder,) = make_demo_sites(tmp_path_factory.mktemp("sites"), 0, ["north"], 9, 2, 3, (40, 32))
    return folder


def _names(folder: Path, part: str) -> list[str]:
    return [item.image.name for item in load_datalist(folder).parts[part]]


@given(count=st.integers(1, 12), seed=st.integers(0, 3))
def test_as_many_as_asked_and_smaller_draws_in_larger_ones(
    site: Path, tmp_path_factory: pytest.TempPathFactory, count: int, seed: int
) -> None:
    out = tmp_path_factory.mktemp("few")
    few, more = (subset_site(site, out / name, n, seed) for name, n in (("few", count), ("more", count + 1)))
    kept = _names(few, "training")
    assert len(kept) == min(count, 9)
    assert set(kept) <= set(_names(more, "training"))
    assert kept == [name for name in _names(site, "training") if name in kept], "in the order of the datalist"


def test_validation_and_test_part_stay_and_no_other_file_comes_along(site: Path, tmp_path: Path) -> None:
    few = subset_site(site, tmp_path, 2, 0)
    for part in ("validation", "test"):
        assert _names(few, part) == _names(site, part)
    assert len(list((few / "images").iterdir())) == len(list((few / "labels").iterdir())) == 2 + 2 + 3
    again = subset_site(site, tmp_path / "again", 2, 0)
    assert _names(again, "training") == _names(few, "training")
    drawn = {tuple(_names(subset_site(site, tmp_path / str(s), 2, s), "training")) for s in range(6)}
    assert len(drawn) > 1


def test_an_old_copy_and_no_images_are_refused(site: Path, tmp_path: Path) -> None:
    subset_site(site, tmp_path, 2, 0)
    with pytest.raises(DataError, match="is there already"):
        subset_site(site, tmp_path, 2, 0)
    with pytest.raises(ConfigError, match="below 1"):
        subset_site(site, tmp_path / "none", 0, 0)
