# SPDX-License-Identifier: Apache-2.0
"""What runs a simulated job: NVFlare's simulator, or the program itself, in one process or in one for each site."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsfedmed.cli.job import ENGINES, build_parser, run_job
from dsfedmed.cli.job import command as module
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server import reuse
from dsfedmed.federated.server.progress import LOGGER, LOGGER_NAME
from dsfedmed.flare import simulation
from dsfedmed.store.files import write_json, write_text

JOB = Path(__file__).resolve().parents[2] / "jobs" / "dsfedmed"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "sites"
    make_demo_sites(folder, seed=1, sites=("site_a", "site_b", "site_d"), training=2, validation=2, test=1)
    return folder


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Which engine ran, without anything being run; the local one says something and ends with a verdict."""
    found: list[tuple[str, Any]] = []

    def locally(method: str, settings: Any, layout: SimulatedSites, processes: bool, leaving: dict[str, int]) -> str:
        assert not leaving
        found.append((method, processes))
        LOGGER.info("half way")
        return "complete" if len(found) == 1 else "incomplete: the second time"

    def by_nvflare(settings: Any, names: list[str], out: Path, method: str) -> int:
        found.append((method, names))
        return 0

    monkeypatch.setattr(module, "simulate_locally", locally)
    monkeypatch.setattr(module, "load_results", lambda run: {"name": run.name})
    monkeypatch.setattr(module, "summary_text", lambda results: f"summary of {results['name']}")
    monkeypatch.setattr(simulation, "simulate", by_nvflare)
    return found


def run(sites: Path, out: Path, *words: str) -> int:
    given = ["--sites", str(sites), "--unseen", "site_d", "--preset", "smoke", "--out", str(out), *words]
    return run_job("dsfedmed", JOB, "", given)


@pytest.mark.parametrize(("engine", "processes"), [("local", False), ("local-processes", True)])
def test_a_local_engine_runs_without_nvflare_and_shows_what_it_does(
    engine: str, processes: bool, sites: Path, tmp_path: Path, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sites, tmp_path / "out", "--engine", engine) == 0
    assert called == [("dsfedmed", processes)]
    assert capsys.readouterr().out == "half way\nsummary of out\n"
    assert not (tmp_path / "out" / "nvflare").exists()
    assert logging.getLogger(LOGGER_NAME).handlers == []


def test_an_incomplete_run_is_told_by_the_exit_status(sites: Path, tmp_path: Path, called: list[Any]) -> None:
    assert [run(sites, tmp_path / "out", "--engine", "local") for _ in range(2)] == [0, 1]


def test_nvflare_is_the_engine_unless_told_otherwise(sites: Path, tmp_path: Path, called: list[Any]) -> None:
    assert run(sites, tmp_path / "out") == 0
    assert called == [("dsfedmed", ["site_a", "site_b", "site_d"])]
    assert (tmp_path / "out" / "nvflare" / "dsfedmed" / "local" / "dsfedmed.yaml").is_file()


def test_an_unknown_engine_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser("dsfedmed", "").parse_args(["--engine", "other"])
    said = capsys.readouterr().err
    assert all(engine in said for engine in ENGINES)


@pytest.mark.parametrize("engine", ["nvflare/dsfedmed", ""])
def test_a_run_of_either_engine_may_be_reused(engine: str, sites: Path, tmp_path: Path) -> None:
    layout = SimulatedSites(sites, tmp_path / "new", JOB.parents[1] / "bundles")
    (tmp_path / "store").mkdir()
    write_json(tmp_path / "record.json", {"method": "dsfedmed", "verdict": "complete"})
    with pytest.raises(ConfigError, match="holds no complete run of dsfedmed"):
        reuse._require_fit(tmp_path, layout)
    known = tmp_path / engine / "local" / "dsfedmed.yaml"
    write_text(known, yaml.safe_dump({"data": f"{sites.resolve()}/{{folder}}"}))
    reuse._require_fit(tmp_path, layout)
    write_text(known, yaml.safe_dump({"data": "elsewhere"}))
    with pytest.raises(ConfigError, match="is a run with another 'data'"):
        reuse._require_fit(tmp_path, layout)
