# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in a simulation: sites are found, and every party reads its own paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import (
    SimulatedSites,
    require_enough,
    require_sites,
    site_names,
    write_party_config,
)
from dsfedmed.settings import Settings


def _layout(folder: Path, **changes: object) -> SimulatedSites:
    return SimulatedSites(folder / "sites", folder / "run", folder / "bundles", **changes)  # type: ignore[arg-type]


def test_sites_are_the_folders_with_a_datalist(tmp_path: Path) -> None:
    for name in ("b", "a", "notes"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "datalist.json").write_text("{}")
    assert site_names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_sites_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{name}: holds no site folder .*dsfedmed demo-sites"):
        site_names(tmp_path / name)


def test_each_site_reads_its_own_paths(tmp_path: Path) -> None:
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path, threads=2))
    config = load_party_config(tmp_path / "ws" / "local", "site_b")
    assert config.data == tmp_path / "sites" / "site_b"
    assert config.output == tmp_path / "run" / "sites" / "site_b"
    assert config.bundles == tmp_path / "bundles"
    assert (config.run, config.teacher, config.threads) == (tmp_path / "run", None, 2)
    assert config.send_drawn_masks is False


def test_stable_diffusion_folder_is_named_to_every_party(tmp_path: Path) -> None:
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path, generator=tmp_path / "sd15"))
    assert load_party_config(tmp_path / "ws" / "local", "site_a").need("generator") == tmp_path / "sd15"


def test_a_given_base_is_named_where_there_is_one(tmp_path: Path) -> None:
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path, generator_base=tmp_path / "base.safetensors"))
    config = load_party_config(tmp_path / "ws" / "local", "server")
    assert config.generator_base == tmp_path / "base.safetensors"
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path))
    assert load_party_config(tmp_path / "ws" / "local", "server").generator_base is None


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVFlare starts each site elsewhere."""
    monkeypatch.chdir(tmp_path)
    start = Path("light.safetensors")
    layout = SimulatedSites(
        Path("sites"), Path("run"), Path("bundles"), Path("teacher.safetensors"), light_weights=start
    )
    write_party_config(Path("ws") / "local", layout)
    config = load_party_config(tmp_path / "ws" / "local", "site_a")
    assert config.teacher == tmp_path / "teacher.safetensors"
    assert config.light_weights == tmp_path / "light.safetensors"
    assert config.run == tmp_path / "run"
    assert config.data == tmp_path / "sites" / "site_a"


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name in ("site_a", "site_b", "site_c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "datalist.json").write_text("{}")
    return tmp_path


def test_a_site_that_is_asked_for_is_there(three: Path) -> None:
    assert require_sites(three, ["site_b"], "--hold") == ["site_a", "site_b", "site_c"]
    with pytest.raises(ConfigError, match=r"--hold: site_x is none of the sites.*site_a, site_b, site_c"):
        require_sites(three, ["site_b", "site_x"], "--hold")


@pytest.mark.parametrize(
    ("values", "words"),
    [({"unseen": ["site_x"]}, "--unseen: site_x"), ({"unseen": ["site_a", "site_b"]}, r"min_sites \(2\) are left")],
)
def test_too_few_sites_to_train_are_refused(three: Path, values: dict, words: str) -> None:
    require_enough(Settings.from_dict({"unseen": ["site_a"]}), site_names(three))
    with pytest.raises(ConfigError, match=words):
        require_enough(Settings.from_dict(values), site_names(three))
