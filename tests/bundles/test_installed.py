# SPDX-License-Identifier: Apache-2.0
"""A bundle is a plain name of an installed folder: no path, no link."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dsfedmed.bundles.installed import installed_bundle, require_bundle_name
from dsfedmed.errors import ConfigError
from tests.bundles.conftest import ROOT

BUNDLES = ROOT / "bundles"
NAME = "light_unet_segmentation"


def test_an_installed_bundle_is_found() -> None:
    assert installed_bundle(BUNDLES, NAME) == BUNDLES / NAME


@pytest.mark.parametrize(
    "name",
    [str(BUNDLES / NAME), f"../bundles/{NAME}", f"./{NAME}", f"{NAME}/", f"{NAME}\n", "", ".", "..", "A", "a b", "a.b",
     "_a", "a" * 65, "a\0", "$x", None, 3, ["a"], {"a": 1}, b"a"],
)  # fmt: skip
def test_anything_but_a_name_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"server: .* is no bundle's name"):
        installed_bundle(BUNDLES, name, "server")
    with pytest.raises(ConfigError, match="is no bundle's name"):
        require_bundle_name(name, "x")


def test_a_bundle_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"server: the bundle 'light' is not installed.*local/dsfedmed\.yaml"):
        installed_bundle(BUNDLES, "light", "server")


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    shutil.copytree(BUNDLES / NAME, tmp_path / "elsewhere")
    (tmp_path / "bundles" / "linked").symlink_to(tmp_path / "elsewhere")
    shutil.copytree(BUNDLES / NAME, tmp_path / "bundles" / "copied")
    with pytest.raises(ConfigError, match="the bundle 'linked' is a link"):
        installed_bundle(tmp_path / "bundles", "linked")
    (tmp_path / "all").symlink_to(tmp_path / "bundles")
    assert installed_bundle(tmp_path / "all", "copied").name == "copied", "the folder of all bundles may be a link"
