# SPDX-License-Identifier: Apache-2.0
"""The command `compare-methods`: which runs there are, what is skipped, and what a run that fails leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job import planned_settings
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.commands.compare_methods import METHODS

JOBS = Path(__file__).parents[3] / "jobs"


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_json(tmp_path / "sites" / name / "datalist.json", {})
    return tmp_path / "sites"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand-in for the jobs: every run completes but SAM-Fed's."""
    done: list[list[str]] = []

    def run(words: list[str], **_: Any) -> None:
        done.append(words)
        out = Path(words[words.index("--out") + 1])
        verdict = "incomplete: no labels" if "samfed" in words[1] else "complete"
        method = Path(words[1]).parent.name
        config = planned_settings(method, JOBS / method, words[2:]).to_dict()
        record = {"name": out.name, "sites": ["b"], "unseen": ["a"], "verdict": verdict, "method": method}
        write_json(out / "record.json", {**record, "config": config})

    monkeypatch.setattr(subprocess, "run", run)
    return done


def words_of(sites: Path, out: Path, *more: str) -> list[str]:
    return ["compare-methods", "--sites", str(sites), "--out", str(out), *more]


def test_every_site_is_held_out_for_every_seed_and_method(
    sites: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    code = main(words_of(sites, tmp_path / "out", "--seeds", "0", "1"))
    assert code == 1, "SAM-Fed's runs are not complete"
    assert len(commands) == 3 * 2 * 3
    first = [Path(words[words.index("--out") + 1]).name for words in commands[:3]]
    assert first == ["pfedsam-a-0", "samfed-a-0", "dsfedmed-a-0"]
    labels = [words[words.index("--label-site") + 1] for words in commands if "--label-site" in words]
    assert labels == ["b", "a", "a"] * 2, "the first site that is not held out"
    seeds = [words[words.index("--seed") + 1] for words in commands]
    assert seeds == ["0"] * 9 + ["1"] * 9, "whole seeds first"


def test_the_same_command_goes_on_with_what_is_not_complete(
    sites: Path, tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(sites, tmp_path / "out", "--seeds", "0", "--unseen", "a", "--teacher", "t.safetensors")
    assert main(words) == 1
    assert all("t.safetensors" in command for command in commands)
    before = len(commands)
    assert main(words) == 1
    assert [Path(c[c.index("--out") + 1]).name for c in commands[before:]] == ["samfed-a-0"]
    captured = capsys.readouterr()
    assert "not complete: samfed-a-0" in captured.err
    assert "Left out: samfed-a-0, incomplete: no labels." in (tmp_path / "out" / "benchmark.md").read_text()
    assert main([*words, "--only-table"]) == 1
    assert len(commands) == before + 1


def test_records_that_are_kept_spare_their_runs_on_another_machine(
    sites: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    kept = tmp_path / "kept"
    first = words_of(sites, tmp_path / "out", "--seeds", "0", "--unseen", "a", "--records", str(kept))
    assert main(first) == 1
    assert sorted(path.name for path in kept.iterdir()) == ["dsfedmed-a-0", "pfedsam-a-0"], "complete runs alone"
    other = tmp_path / "other"
    before = len(commands)
    assert main(words_of(sites, other, "--seeds", "0", "--unseen", "a", "--records", str(kept))) == 1
    assert [Path(c[c.index("--out") + 1]).name for c in commands[before:]] == ["samfed-a-0"]
    assert "held out, seed 0" in (other / "benchmark.md").read_text()


def test_runs_of_other_settings_are_refused_before_any_other_is_made(
    sites: Path, tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(sites, tmp_path / "out", "--unseen", "a", "--methods", "pfedsam")
    assert main([*words, "--seeds", "0"]) == 0
    assert main([*words, "--set", "rounds=7"]) == 2
    said = capsys.readouterr().err
    assert "pfedsam-a-0: has rounds 30, where a run made now would have 7" in said
    assert len(commands) == 1
    assert main([*words, "--seeds", "0", "--set", "rounds=7", "--only-table"]) == 0, "a table makes no run"


def test_runs_of_two_teacher_weights_are_refused_before_any_other_is_made(
    sites: Path, tmp_path: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, sha256 in enumerate("ab"):
        name, made = f"pfedsam-a-{seed}", {"verdict": "complete", "method": "pfedsam", "sites": ["b"], "unseen": ["a"]}
        write_json(
            tmp_path / "out" / name / "record.json", {**made, "name": name, "teacher_weights": {"sha256": sha256}}
        )
    assert main(words_of(sites, tmp_path / "out", "--seeds", "0", "1", "2", "--unseen", "a")) == 2
    assert "pfedsam-a-1: differs from pfedsam-a-0 in the teacher weights (b, not a)" in capsys.readouterr().err
    assert commands == []


def test_unknown_sites_are_refused(sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words_of(sites, tmp_path, "--unseen", "z")) == 2
    assert "z is none of the sites" in capsys.readouterr().err


def test_every_job_has_the_benchmarks_preset() -> None:
    for method in METHODS:
        assert (JOBS / method / "presets" / "benchmark.yaml").exists()
