# SPDX-License-Identifier: Apache-2.0
"""A run folder belongs to one minor version: any other refuses it, and leaves it as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.store import run_version, stage_store
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.run_version import require_run_of_this_version, require_this_version
from dsfedmed.store.stage_store import StageStore, config_hash
from dsfedmed.version import VERSION

CONFIG = {"seed": 0}


@pytest.fixture(autouse=True)
def this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (run_version, stage_store):
        monkeypatch.setattr(module, "VERSION", "0.4.2")


@pytest.mark.parametrize("version", ["0.4.0", "0.4.2", "0.4.11", "0.4"])
def test_the_same_minor_version_passes(version: str) -> None:
    require_this_version(Path("run"), version)


@pytest.mark.parametrize(
    ("version", "made"),
    [
        (None, "version 0.3 or earlier"),
        ("0.3.0", "version 0.3"),
        ("0.5.0", "version 0.5"),
        ("1.4.2", "version 1.4"),
        ("0.40.2", "version 0.40"),
        (4, "version 0.3 or earlier"),
        ({}, "version 0.3 or earlier"),
    ],
)
def test_another_minor_version_is_refused_with_what_to_do(version: object, made: str) -> None:
    with pytest.raises(StoreError) as caught:
        require_this_version(Path("runs/old"), version)
    said = f"runs/old: made by {made} of dsfedmed, which version 0.4.2 does not read. Start a new run folder"
    assert str(caught.value).startswith(said)


def test_a_store_says_its_version_and_another_one_s_is_refused_untouched(tmp_path: Path) -> None:
    store = StageStore(tmp_path, CONFIG)
    store.put("fit base", {})
    marker = tmp_path / "config.json"
    assert read_json(marker) == {"version": "0.4.2", "hash": config_hash(CONFIG), "run": store.run, "config": CONFIG}
    write_json(marker, {**read_json(marker), "version": "0.4.0"})
    assert StageStore(tmp_path, CONFIG).has("fit base"), "a patch reads what its minor version wrote"
    for version in ("0.3.0", "0.5.1"):
        write_json(marker, {**read_json(marker), "version": version})
        before = marker.read_bytes()
        with pytest.raises(StoreError, match=rf"made by version {version[:3]} of dsfedmed.*Start a new run folder"):
            StageStore(tmp_path, CONFIG)
        assert marker.read_bytes() == before


def test_a_store_of_0_3_says_no_version_and_is_refused(tmp_path: Path) -> None:
    """Before its hash is compared: "another configuration" would say nothing of why."""
    write_json(tmp_path / "config.json", {"hash": config_hash(CONFIG), "config": CONFIG})
    with pytest.raises(StoreError, match=r"made by version 0\.3 or earlier of dsfedmed"):
        StageStore(tmp_path, CONFIG)


def test_a_run_folder_is_judged_by_its_store_and_by_its_record(tmp_path: Path) -> None:
    require_run_of_this_version(tmp_path / "nothing_there")
    require_run_of_this_version(tmp_path)
    StageStore(tmp_path / "store", CONFIG)
    write_json(tmp_path / "record.json", {"versions": {"dsfedmed": "0.4.0"}})
    require_run_of_this_version(tmp_path)
    for record in ({"versions": {"dsfedmed": "0.3.0"}}, {"versions": {}}, {}, []):
        write_json(tmp_path / "record.json", record)
        with pytest.raises(StoreError, match=r"made by version 0\.3"):
            require_run_of_this_version(tmp_path)
    (tmp_path / "record.json").unlink()
    write_json(tmp_path / "store" / "config.json", {"hash": "", "config": CONFIG})
    with pytest.raises(StoreError, match=r"made by version 0\.3 or earlier"):
        require_run_of_this_version(tmp_path)


def test_the_program_s_own_version_has_a_minor_number() -> None:
    assert len(VERSION.split(".")) >= 2
    assert all(part.isdigit() for part in VERSION.split(".")[:2])
