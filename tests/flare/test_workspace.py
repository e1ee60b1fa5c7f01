# SPDX-License-Identifier: Apache-2.0
"""The simulator workspace: only known classes may run, and the console stays quiet."""

from __future__ import annotations

import json
import logging.config
from pathlib import Path

import pytest
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST

from dsfedmed.cli.main import main
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.flare.workspace import SERVER_CLASSES, SITE_CLASSES, prepare_workspace


def _layout(folder: Path) -> SimulatedSites:
    return SimulatedSites(folder / "sites", folder / "run", folder / "bundles")


def test_classes_from_elsewhere_are_not_allowed(tmp_path: Path) -> None:
    prepare_workspace(tmp_path, _layout(tmp_path))
    allowed = json.loads((tmp_path / "local" / "resources.json").read_text())["class_allow_list"]
    assert set(allowed) == {*DEFAULT_CLASS_ALLOW_LIST, *SITE_CLASSES, *SERVER_CLASSES}


def test_the_command_names_a_given_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sites" / "site_a").mkdir(parents=True)
    (tmp_path / "sites" / "site_a" / "datalist.json").write_text("{}")
    places = ["--sites", str(tmp_path / "sites"), "--run", str(tmp_path / "run")]
    words = [*places, "--generator-base", str(tmp_path / "base.safetensors")]
    assert main(["workspace", str(tmp_path / "ws"), *words]) == 0
    assert load_party_config(tmp_path / "ws" / "local", "server").generator_base == tmp_path / "base.safetensors"
    assert "-c site_a" in capsys.readouterr().out


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
