# SPDX-License-Identifier: Apache-2.0
"""The ablation command: which runs a row has, what is not run again, and how many run at a time."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job import planned_settings
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main

JOB = Path(__file__).parents[3] / "jobs" / "dsfedmed"
ROWS = """
rows:
  - name: default
  - name: all samples
    set: {distillation: {rate: 1.0}}
  - name: no teacher weights
    teacher_weights: false
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name in ("a", "b"):
        write_json(tmp_path / "sites" / name / "datalist.json", {})
    (tmp_path / "rows.yaml").write_text(ROWS)
    return ["ablation", "--sites", str(tmp_path / "sites"), "--out", str(tmp_path / "out"), "--seeds", "0", "1",
            "--rows", str(tmp_path / "rows.yaml"), "--teacher", "t.safetensors"]  # fmt: skip


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand-in for the jobs; all complete."""
    done: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        done.append(command)
        out = Path(command[command.index("--out") + 1])
        chosen = {"dsfedmed": {"validation_dice": 0.8}, "fedavg": {"validation_dice": 0.7}}
        record = {"name": out.name, "sites": ["b"], "unseen": ["a"], "verdict": "complete", "method": "dsfedmed"}
        config = planned_settings("dsfedmed", JOB, command[2:]).to_dict()
        write_json(out / "record.json", {**record, "config": config, "selected": chosen})

    monkeypatch.setattr(subprocess, "run", run)
    return done


def test_every_row_is_run_for_every_site_and_seed_once(
    words: list[str], commands: list[list[str]], tmp_path: Path
) -> None:
    assert main(words) == 0
    names = [Path(c[c.index("--out") + 1]).name for c in commands]
    assert names[:4] == ["dsfedmed-a-0", "dsfedmed-b-0", "dsfedmed-a-1", "dsfedmed-b-1"], "the benchmark's own"
    assert len(names) == 3 * 2 * 2
    changed = [c for c in commands if "distillation.rate=1.0" in c]
    assert len(changed) == 4
    assert sum("t.safetensors" in c for c in commands) == 8, "the row without teacher weights has none"
    assert not any("--reuse" in c for c in commands[:4]), "the first row's runs reuse nothing"
    sources = [Path(c[c.index("--reuse") + 1]).name for c in commands[4:]]
    assert sources == 2 * names[:4], "the others reuse the first row's run of their site and seed"
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert "| all samples | 80.0 ± 0.0 | +10.0 ± 0.0 | - | 0 of 4 |" in table
    assert main(words) == 0
    assert len(commands) == 12


def test_some_rows_alone(words: list[str], commands: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--only-rows", "all samples", "--unseen", "b"]) == 0
    assert [Path(c[c.index("--out") + 1]).name for c in commands] == ["all_samples-b-0", "all_samples-b-1"]
    assert main([*words, "--only-rows", "alles"]) == 2
    assert "there is no row 'alles'" in capsys.readouterr().err
    assert main([*words, "--unseen", "z"]) == 2
    assert "z is none of the sites" in capsys.readouterr().err


def test_runs_go_on_at_once_as_many_as_asked(
    words: list[str], commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, meeting = subprocess.run, threading.Barrier(3, timeout=20)

    def run(command: list[str], **options: Any) -> None:
        meeting.wait()
        alone(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    assert main([*words, "--at-once", "3", "--server-threads", "2"]) == 0
    assert len(commands) == 12
    assert {c[c.index("--server-threads") + 1] for c in commands} == {"2"}
