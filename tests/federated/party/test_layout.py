# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in a simulation: sites are found, and every party reads its own paths."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import (
    SimulatedSites,
    own_names,
    require_enough,
    require_sites,
    site_folders,
    site_names,
    with_plain_names,
    write_party_config,
)
from dsfedmed.settings import Settings
from dsfedmed.site_names import plain_name


def _layout(folder: Path, **changes: object) -> SimulatedSites:
    return SimulatedSites(folder / "sites", folder / "run", folder / "bundles", **changes)  # type: ignore[arg-type]


def test_sites_are_the_folders_with_a_datalist(tmp_path: Path) -> None:
    for name in ("b", "a", "notes"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "datalist.json").write_text("{}")
    assert site_names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "said"), [("none", "there is no such folder"), ("empty", "holds no site folder with a datalist.json")]
)
def test_a_folder_without_sites_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{name}: {said}\. Give a folder .* `dsfedmed demo-sites`"):
        site_names(tmp_path / name)


def test_the_folder_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    for name in ("sites/a", "raw/North General/scans", "raw/b/scans", "raw/c/labels"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sites/a/datalist.json").write_text("{}")
    for name in ("North General", "b"):
        (tmp_path / "raw" / name / "scans/x.png").write_bytes(b"\x89PNG")
    for place, fix in (
        ("sites/a", f"Give the folder that holds the sites: {tmp_path}/sites"),
        (".", f"Its folder sites holds sites: give {tmp_path}/sites"),
        ("raw", f"Make one for each: `dsfedmed build-datalist '{tmp_path}/raw/North General'`, then b"),
    ):
        with pytest.raises(DataError) as caught:
            site_names(tmp_path / place)
        assert caught.value.fix == fix


def test_each_site_reads_its_own_paths(tmp_path: Path) -> None:
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path, threads=2))
    config = load_party_config(tmp_path / "ws" / "local", "site_b")
    assert config.data == tmp_path / "sites" / "site_b"
    assert config.output == tmp_path / "run" / "sites" / "site_b"
    assert config.bundles == tmp_path / "bundles"
    assert (config.run, config.teacher, config.threads) == (tmp_path / "run", None, 2)
    assert (config.send_drawn_masks, config.send_amplitudes) == (False, False)


def test_simulated_sites_send_amplitudes_where_the_simulation_says_so(tmp_path: Path) -> None:
    write_party_config(tmp_path / "ws" / "local", _layout(tmp_path, send_amplitudes=True))
    assert load_party_config(tmp_path / "ws" / "local", "site_a").send_amplitudes


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


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    for name in ("Klinik Nord", "st.anna", unicodedata.normalize("NFD", "Süd"), "site_b"):
        (tmp_path / "sites" / name).mkdir(parents=True)
        (tmp_path / "sites" / name / "datalist.json").write_text("{}")
    return tmp_path


def test_a_folder_of_any_name_is_a_site_under_a_plain_name(odd: Path) -> None:
    folders = site_folders(odd / "sites")
    assert list(folders) == sorted(folders) == site_names(odd / "sites")
    assert folders[plain_name("Süd")] == unicodedata.normalize("NFD", "Süd")
    assert own_names(folders) == {plain_name(name): name for name in ("Klinik Nord", "st.anna", "Süd")}
    write_party_config(odd / "local", _layout(odd))
    for plain, folder in folders.items():
        config = load_party_config(odd / "local", plain)
        assert (config.data, config.output) == (odd / "sites" / folder, odd / "run" / "sites" / plain)
    assert load_party_config(odd / "local", "server").own_names == own_names(folders)


def test_settings_that_name_sites_as_people_do_get_the_names_that_travel(odd: Path) -> None:
    folders = site_folders(odd / "sites")
    labels = {"label_site": "Klinik Nord", "site_bundles": {"st.anna": "light_b", "site_b": "light_a"}}
    asked = Settings.from_dict({"unseen": [unicodedata.normalize("NFC", "Süd"), plain_name("st.anna")]})
    found = with_plain_names(replace(asked, method=labels), folders)
    assert found.unseen == (plain_name("Süd"), plain_name("st.anna"))
    assert found.method["label_site"] == plain_name("Klinik Nord")
    assert found.method["site_bundles"] == {plain_name("st.anna"): "light_b", "site_b": "light_a"}
    with pytest.raises(ConfigError, match=r"--unseen: site_B is none of the sites\. Sites: .*Klinik Nord.*site_b"):
        with_plain_names(Settings.from_dict({"unseen": ["site_B"]}), folders)


def test_two_folders_that_people_cannot_tell_apart_are_refused(odd: Path) -> None:
    (odd / "sites" / unicodedata.normalize("NFC", "Süd")).mkdir()
    (odd / "sites" / unicodedata.normalize("NFC", "Süd") / "datalist.json").write_text("{}")
    with pytest.raises(DataError, match="two sites are called 'Süd'"):
        site_folders(odd / "sites")


def test_a_name_that_cannot_be_shown_is_refused(odd: Path) -> None:
    (odd / "sites" / "st.anna").rename(odd / "sites" / "line\nbreak")
    with pytest.raises(DataError, match=r"the site's name 'line\\nbreak' cannot be shown"):
        site_folders(odd / "sites")


def test_a_link_to_a_folder_is_a_site(odd: Path) -> None:
    (odd / "sites" / "st.anna").rename(odd / "share")
    (odd / "sites" / "st.anna").symlink_to(odd / "share", target_is_directory=True)
    assert site_folders(odd / "sites")[plain_name("st.anna")] == "st.anna"
