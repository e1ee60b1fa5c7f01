# SPDX-License-Identifier: Apache-2.0
"""What runs a simulated job: NVFlare's simulator, or the program itself, in one process or in one for each site."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsfedmed.cli import main as entry
from dsfedmed.cli.job import ENGINES, build_parser, planned_settings, run_job
from dsfedmed.cli.job import command as module
from dsfedmed.cli.job.begun import BegunRun
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server import reuse
from dsfedmed.federated.server.progress import LOGGER, LOGGER_NAME
from dsfedmed.flare import simulation
from dsfedmed.site_names import plain_name
from dsfedmed.store.files import write_json, write_text
from dsfedmed.store.run_lock import JOB as JOB_LOCK
from dsfedmed.store.run_lock import SERVER, run_lock
from dsfedmed.store.stage_store import StageStore
from dsfedmed.version import VERSION

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

    def by_nvflare(settings: Any, names: list[str], out: Path, method: str, tracking: str) -> str:
        assert tracking == "tensorboard"
        found.append((method, names))
        return "complete"

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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_one_line_and_leaves_no_lock(
    number: int,
    status: int,
    sites: Path,
    tmp_path: Path,
    called: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, line = tmp_path / "out", "stopped; the same command resumes after the last finished stage\n"
    words = ["--sites", str(sites), "--preset", "smoke", "--unseen", "site_d", "--engine", "local", "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "simulate_locally", lambda *_: os.kill(os.getpid(), number))
        assert run(sites, out, "--engine", "local") == status
        assert capsys.readouterr().err == f"job.py: {line}"
        assert entry.main(["run", "dsfedmed", *words]) == status
        assert capsys.readouterr().err == f"dsfedmed: {line}"
    assert not list(out.glob("*.lock"))
    assert run(sites, out, "--engine", "local") == 0
    assert capsys.readouterr().out == "half way\nsummary of out\n"  # nothing was taken over


def test_what_is_reused_is_said_at_the_beginning_only(
    sites: Path, tmp_path: Path, called: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "reuse_stages", lambda *_: ())
    for begun, said in ((False, "reused from other: nothing\n"), (True, "")):
        monkeypatch.setattr(BegunRun, "exists", begun)
        for check in ("require_same", "require_same_data"):
            monkeypatch.setattr(BegunRun, check, lambda *_: None)
        run(sites, tmp_path / "out", "--engine", "local", "--reuse", str(tmp_path / "other"))
        assert capsys.readouterr().out == f"{said}half way\nsummary of out\n"


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


@pytest.mark.parametrize("engine", ["nvflare", "local"])
@pytest.mark.parametrize("lock", [JOB_LOCK, SERVER])
def test_a_run_folder_in_use_is_refused(
    engine: str, lock: str, sites: Path, tmp_path: Path, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with run_lock(tmp_path / "out", lock):
        assert run(sites, tmp_path / "out", "--engine", engine) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"job.py: {tmp_path / 'out'}: is in use by process {os.getpid()} since ")
    assert said.count("\n") == 1
    assert called == []


@pytest.mark.parametrize("engine", ["nvflare", "local"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--teacher", "sam.safetensors"], "--teacher sam.safetensors: no such file"),
        (["--device", "gpu0"], "device gpu0: is not a device"),
        (["--unseen", "site_D"], "--unseen: site_D is none of the sites. Sites: site_a, site_b, site_d"),
        (["--set", "min_sites=3"], "sites: fewer than min_sites (3) are left"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_begun(
    engine: str, words: list[str], said: str, sites: Path, tmp_path: Path, called: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(sites, tmp_path / "out", "--engine", engine, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"job.py: {said}")
    assert error.count("\n") == 1
    assert called == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("engine", ["nvflare", "local"])
def test_another_run_in_the_folder_is_refused_or_removed(
    engine: str, sites: Path, tmp_path: Path, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--sites", str(sites), "--unseen", "site_d", "--preset", "smoke"]
    settings = planned_settings("dsfedmed", JOB, words).to_dict()
    StageStore(out / "store", {"method": "dsfedmed", "settings": settings, "sites": ["site_a", "site_b"]})
    write_json(out / "record.json", {"verdict": "complete", "versions": {"dsfedmed": VERSION}})
    assert run(sites, out, "--engine", engine, "--seed", "5") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"job.py: {out}: holds another run (seed: 0, now 5). Choose another --out")
    assert called == []
    assert run(sites, out, "--engine", engine, "--seed", "5", "--start-over", "--reuse", str(out)) == 2
    assert "--reuse: is the run that --start-over removes" in capsys.readouterr().err
    assert (out / "store").exists()
    assert run(sites, out, "--engine", engine) == 0  # as it was, it goes on
    assert run(sites, out, "--engine", engine, "--seed", "5", "--start-over") in (0, 1)
    assert len(called) == 2
    assert not (out / "store").exists()  # the engine, which is the test's, has made none


def test_sites_of_any_name_run_under_plain_ones(
    sites: Path, tmp_path: Path, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "sites"
    shutil.copytree(sites, named)
    (named / "site_a").rename(named / "Klinik Nord")
    (named / "site_d").rename(named / "Süd")
    words = ["--sites", str(named), "--unseen", "Süd", "--preset", "smoke", "--out", str(tmp_path / "out")]
    assert run_job("dsfedmed", JOB, "", words) == 0
    assert called == [("dsfedmed", [plain_name("Klinik Nord"), plain_name("Süd"), "site_b"])]
    (named / "Klinik Nord" / "images").rename(named / "Klinik Nord" / "elsewhere")
    assert run_job("dsfedmed", JOB, "", words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("job.py: Klinik Nord: ")


@pytest.mark.parametrize("name", ["runs of May", "it's", "plain"])
def test_nvflare_gets_a_path_that_its_command_line_does_not_split(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with simulation.plain_path(tmp_path / name) as path:
        assert shlex.split(f"-w {path}") == ["-w", str(path)]
        (path / "log.txt").write_text("here")
    assert (tmp_path / name / "log.txt").read_text() == "here"
    assert path.exists() == (name == "plain")
