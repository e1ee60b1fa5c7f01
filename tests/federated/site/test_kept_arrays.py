# SPDX-License-Identifier: Apache-2.0
"""Volumes are decoded once, by content; pictures, changed data and damaged files are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.federated.site.kept_arrays import FOLDER, kept_part
from tests.data.conftest import MakeSite, make_site, make_volume

__all__ = ["make_site", "make_volume"]
ARRAYS = SiteArrays(torch.rand(3, 1, 4, 4), torch.randint(0, 2, (3, 1, 4, 4), dtype=torch.uint8), ("a", "a", "b"))


class Loads:
    """Counts how often the files are read."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> SiteArrays:
        self.count += 1
        return ARRAYS


@pytest.fixture
def volumes(make_volume: Callable[..., Path]) -> SiteDatalist:
    return load_datalist(make_volume())


def test_a_volume_set_is_decoded_once_for_the_same_content(volumes: SiteDatalist, tmp_path: Path) -> None:
    loads = Loads()
    for data, expected in (("1", 1), ("1", 1), ("2", 2), ("1", 2)):
        found = kept_part(tmp_path / "own", volumes, lambda data=data: {"data": data}, loads)  # type: ignore[misc]
        assert loads.count == expected
        assert torch.equal(found.images, ARRAYS.images)
        assert torch.equal(found.labels, ARRAYS.labels)
        assert found.labels.dtype == torch.uint8
        assert found.cases == ARRAYS.cases


@pytest.mark.parametrize("content", [b"", b"cut", b"\xff" * 400])
def test_what_is_damaged_is_loaded_and_kept_anew(volumes: SiteDatalist, tmp_path: Path, content: bytes) -> None:
    loads = Loads()
    kept_part(tmp_path / "own", volumes, dict, loads)
    (path,) = (tmp_path / "own" / FOLDER).iterdir()
    path.write_bytes(content)
    assert torch.equal(kept_part(tmp_path / "own", volumes, dict, loads).images, ARRAYS.images)
    kept_part(tmp_path / "own", volumes, dict, loads)
    assert loads.count == 2


def test_pictures_are_read_from_their_files(make_site: MakeSite, tmp_path: Path) -> None:
    loads, site = Loads(), load_datalist(make_site())
    for _ in range(2):
        kept_part(tmp_path / "own", site, dict, loads)
    assert loads.count == 2
    assert not (tmp_path / "own").exists()
