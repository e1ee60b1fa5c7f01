# SPDX-License-Identifier: Apache-2.0
"""The simulator workspace: only known classes may run, every site finds its own folder, the console stays quiet."""

from __future__ import annotations

import json
import logging.config
from pathlib import Path

import pytest

from dsfedmed.errors import DataError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.workspace import prepare_workspace


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
    prepare_workspace(tmp_path / "ws", _layout(tmp_path, threads=2))
    config = load_party_config(tmp_path / "ws" / "local", "site_b")
    assert config.data == tmp_path / "sites" / "site_b"
    assert config.output == tmp_path / "run" / "sites" / "site_b"
    assert config.bundles == tmp_path / "bundles"
    assert (config.run, config.teacher, config.threads) == (tmp_path / "run", None, 2)
    assert config.send_drawn_masks is False


def test_stable_diffusion_folder_is_named_to_every_party(tmp_path: Path) -> None:
    prepare_workspace(tmp_path / "ws", _layout(tmp_path, generator=tmp_path / "sd15"))
    assert load_party_config(tmp_path / "ws" / "local", "site_a").need("generator") == tmp_path / "sd15"


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVFlare starts each site elsewhere."""
    monkeypatch.chdir(tmp_path)
    start = Path("light.safetensors")
    layout = SimulatedSites(
        Path("sites"), Path("run"), Path("bundles"), Path("teacher.safetensors"), light_weights=start
    )
    prepare_workspace(Path("ws"), layout)
    config = load_party_config(tmp_path / "ws" / "local", "site_a")
    assert config.teacher == tmp_path / "teacher.safetensors"
    assert config.light_weights == tmp_path / "light.safetensors"
    assert config.run == tmp_path / "run"
    assert config.data == tmp_path / "sites" / "site_a"


def test_classes_from_elsewhere_are_not_allowed(tmp_path: Path) -> None:
    prepare_workspace(tmp_path, _layout(tmp_path))
    allowed = json.loads((tmp_path / "local" / "resources.json").read_text())["class_allow_list"]
    assert "dsfedmed." in allowed
    assert all(prefix.startswith(("nvflare", "dsfedmed.")) for prefix in allowed)


def test_the_console_shows_progress_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_workspace(tmp_path, _layout(tmp_path))
    config = json.loads((tmp_path / "local" / "log_config.json").read_text())
    for handler in ("logFileHandler", "errorFileHandler"):
        config["handlers"][handler]["filename"] = str(tmp_path / config["handlers"][handler]["filename"])
    config["root"] = config["loggers"].pop("root")
    before, level = list(logging.root.handlers), logging.root.level
    try:
        logging.config.dictConfig(config)
        logging.getLogger("dsfedmed.progress").info("stage 1")
        logging.getLogger("nvflare.private").error("noise")
        captured = capsys.readouterr()
    finally:
        for handler in list(logging.root.handlers):
            if handler not in before:
                logging.root.removeHandler(handler)
                handler.close()
        logging.root.handlers, logging.root.level = before, level
        logging.getLogger("dsfedmed.progress").handlers.clear()
    assert captured.out == "stage 1\n"
    assert captured.err == ""
    assert "noise" in (tmp_path / "error_log.txt").read_text()
    assert "stage 1" in (tmp_path / "log.txt").read_text()
