# SPDX-License-Identifier: Apache-2.0
"""A run that has begun goes on only as what it was; what has changed is named, and nothing is written before."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job.begun import MADE, BegunRun
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, site_folders, with_plain_names
from dsfedmed.federated.party.site_data import PUBLIC_DATA, SITE_DATA, data_fingerprint
from dsfedmed.settings import Settings
from dsfedmed.store.files import write_json
from dsfedmed.store.stage_store import StageStore
from dsfedmed.version import VERSION
from tests.federated.tiny import BUNDLES
from tests.runs.recording import Recording
from tests.runs.smoke import smoke

NAMES = ("Klinik Nord", "site_b", "Süd")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "sites"
    made_as = ("site_a", "site_b", "site_c")
    make_demo_sites(folder, seed=1, sites=made_as, training=2, validation=1, test=1)
    for old, new in zip(made_as, NAMES, strict=True):
        (folder / old).rename(folder / new)
    return folder


@pytest.fixture
def layout(made: Path, tmp_path: Path) -> SimulatedSites:
    shutil.copytree(made, tmp_path / "sites")
    return SimulatedSites(tmp_path / "sites", tmp_path / "run", BUNDLES)


def settings(layout: SimulatedSites, **changes: Any) -> Settings:
    return with_plain_names(smoke(**{"unseen": ["Süd"], **changes}), site_folders(layout.sites))


def begun(layout: SimulatedSites) -> BegunRun:
    return BegunRun(layout, site_folders(layout.sites))


def begin(layout: SimulatedSites) -> BegunRun:
    """Do what a first start does, as far as its first stage."""
    run, folders = begun(layout), site_folders(layout.sites)
    run.require_same("dsfedmed", settings(layout), {})
    run.require_same_weights()
    run.require_same_data()
    run.accept()
    asked = settings(layout)
    sources = [site for site in folders if site not in asked.unseen]
    store = StageStore(layout.run / "store", {"method": "dsfedmed", "settings": asked.to_dict(), "sites": sources})
    lists = {site: load_datalist(layout.sites / name) for site, name in folders.items()}
    store.put(SITE_DATA, {site: data_fingerprint(found, layout.run / "none").sha256 for site, found in lists.items()})
    write_json(layout.run / "record.json", {"versions": {"dsfedmed": VERSION}, "leaving": {}})
    return begun(layout)


def image(layout: SimulatedSites, site: str, number: int = 0) -> Path:
    return sorted((layout.sites / site / "images").iterdir())[number]


def said(error: pytest.ExceptionInfo[ConfigError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "--start-over" in text
    assert "another --out" in text
    return text


def test_the_same_run_goes_on_and_nothing_is_written_before_it_is_accepted(layout: SimulatedSites) -> None:
    first = begun(layout)
    first.require_same("dsfedmed", settings(layout), {})
    first.require_same_weights()
    first.require_same_data()
    assert not layout.run.exists()
    again = begin(layout)
    again.require_same("dsfedmed", settings(layout), {})
    again.require_same_weights()
    again.require_same_data()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "seed: 0, now 5"),
        ({"rounds": 5}, "rounds: 3, now 5"),
        ({"unseen": ["site_b"]}, "sites: Klinik Nord, site_b, now Klinik Nord, Süd; unseen: Süd, now site_b"),
        ({"light": {"batch_size": 3}}, "light.batch_size: 8, now 3"),
    ],
)
def test_other_settings_are_named_with_both_values(layout: SimulatedSites, changes: Any, words: str) -> None:
    run = begin(layout)
    with pytest.raises(ConfigError) as error:
        run.require_same("dsfedmed", settings(layout, **changes), {})
    assert f"run: holds another run ({words})" in said(error)


def test_another_method_other_sites_and_sites_that_leave_are_named(layout: SimulatedSites) -> None:
    run = begin(layout)
    with pytest.raises(ConfigError, match="method: dsfedmed, now samfed"):
        run.require_same("samfed", settings(layout), {})
    with pytest.raises(ConfigError, match=r"--leave site_b: not set, now 2"):
        run.require_same("dsfedmed", settings(layout), {"site_b": 2})
    shutil.copytree(layout.sites / "site_b", layout.sites / "site_e")
    with pytest.raises(ConfigError, match="sites: Klinik Nord, site_b, now Klinik Nord, site_b, site_e"):
        begun(layout).require_same("dsfedmed", settings(layout), {})


def test_changed_files_are_counted_by_site(layout: SimulatedSites) -> None:
    run = begin(layout)
    for number in (0, 1):
        with image(layout, "Klinik Nord", number).open("ab") as stream:
            stream.write(b"more")
    path = layout.sites / "site_b" / "datalist.json"
    path.write_text(json.dumps(json.loads(path.read_text())) + "\n\n")
    with pytest.raises(ConfigError) as error:
        run.require_same_data()
    words = (
        "holds a run of other data: 2 files of Klinik Nord have changed; 1 file of site_b has changed since it began"
    )
    assert words in said(error)
    with pytest.raises(ConfigError, match="2 files of Klinik Nord"):  # a refused start is no new beginning
        begun(layout).require_same_data()


def test_an_edit_that_keeps_size_and_time_is_found_and_a_touch_is_none(layout: SimulatedSites) -> None:
    begin(layout)
    path = image(layout, "Süd")
    os.utime(path, (1, 1))
    touched = begun(layout)
    touched.require_same_data()
    touched.accept()
    content, state = bytearray(path.read_bytes()), path.stat()
    content[-5] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(ConfigError, match="1 file of Süd has changed"):
        begun(layout).require_same_data()


def test_changed_data_are_found_without_the_site_s_own_memory(layout: SimulatedSites) -> None:
    begin(layout)
    shutil.rmtree(layout.run / "sites")
    begun(layout).require_same_data()
    with image(layout, "site_b").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(ConfigError, match="the data of site_b have changed"):
        begun(layout).require_same_data()


def test_a_changed_public_set_is_named(layout: SimulatedSites) -> None:
    public = replace(layout, public=layout.sites / "site_b")
    begin(public)
    StageStore.existing(layout.run / "store").put(PUBLIC_DATA, {"sha256": "0" * 64})
    with pytest.raises(ConfigError, match="the data of the public set have changed"):
        begun(public).require_same_data()


def test_other_weights_are_named_wherever_they_lie(layout: SimulatedSites, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for path, content in (("t.st", b"1"), ("moved/t.st", b"1"), ("other.st", b"2")):
        (tmp_path / path).write_bytes(content)
    given = replace(layout, teacher=tmp_path / "t.st")
    begin(given)
    begun(replace(layout, teacher=tmp_path / "moved" / "t.st")).require_same_weights()
    with pytest.raises(ConfigError) as error:
        begun(replace(layout, teacher=tmp_path / "other.st")).require_same_weights()
    assert "another --teacher: it began with t.st, other.st is given, which is another file" in said(error)
    with pytest.raises(ConfigError, match=r"it began with t\.st, none is given"):
        begun(layout).require_same_weights()
    with pytest.raises(ConfigError, match=r"--light-weights: it began with none, t\.st is given"):
        begun(replace(given, light_weights=tmp_path / "t.st")).require_same_weights()


def test_only_what_runs_write_is_removed(layout: SimulatedSites) -> None:
    run = begin(layout)
    (layout.run / "notes.txt").write_text("mine")
    (layout.run / "report.html").write_text("")
    run.remove()
    assert [path.name for path in layout.run.iterdir()] == ["notes.txt"]
    assert not run.exists
    run.require_same("samfed", settings(layout, seed=9), {})


def test_all_that_a_run_writes_goes_when_it_starts_over(dsfedmed_in_process: Recording) -> None:
    assert {path.name for path in dsfedmed_in_process.run.iterdir()} - set(MADE) == set()


@pytest.mark.parametrize(
    ("name", "below", "said"),
    [("teacher", "release/t.st", "--teacher"), ("public", "public", "--public"), ("sites", "local", "--sites")],
)
def test_nothing_is_removed_where_the_new_run_is_given_a_part_of_the_old_one(
    layout: SimulatedSites, name: str, below: str, said: str
) -> None:
    begin(layout)
    path = layout.run / below
    path.parent.mkdir(exist_ok=True)
    shutil.copytree(layout.sites, path)
    given: dict[str, Any] = {name: path}
    run = begun(replace(layout, **given))
    with pytest.raises(ConfigError, match=rf"{said}.*{below}.* is of the run that --start-over removes"):
        run.remove()
    assert path.exists()
    assert run.exists
