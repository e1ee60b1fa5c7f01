# SPDX-License-Identifier: Apache-2.0
"""The `dsfedmed` command: its sub-commands, its exit status, and errors as one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsfedmed.cli import main as entry
from dsfedmed.errors import DataError
from dsfedmed.version import VERSION


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_command_is_a_module_with_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(entry.module_name("dsfedmed.cli", name, entry.FOLDERS))
    with pytest.raises(SystemExit) as ended:
        entry.main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: dsfedmed {name} ")
    assert str(module.__doc__).splitlines()[0] in out


def test_the_list_of_commands_needs_no_library() -> None:
    program = (
        "import sys, dsfedmed.cli.main as entry\n"
        "try: entry.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'monai', 'nvflare', 'numpy', 'scipy'} & sys.modules.keys(), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in entry.COMMANDS)


def test_no_command_module_is_forgotten() -> None:
    folder = Path(entry.__file__).parent
    others = {"__init__", "main", "job"}  # `job` is the command of the job folders
    files = [
        *folder.glob("*.py"),
        *(path for inner in set(entry.FOLDERS.values()) for path in folder.glob(f"{inner}/*.py")),
    ]
    found = {
        ".".join(path.relative_to(folder.parents[1]).with_suffix("").parts) for path in files if path.stem not in others
    }
    assert found == {entry.module_name("dsfedmed.cli", name, entry.FOLDERS) for name in entry.COMMANDS}


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        entry.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == VERSION
    with pytest.raises(SystemExit):
        entry.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in entry.COMMANDS)


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["report"]])
def test_wrong_usage_ends_with_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        entry.main(argv)
    assert ended.value.code == 2
    assert "usage: dsfedmed" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), entry.RENAMED.items())
def test_an_old_command_is_refused_with_the_new_one(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert old not in entry.COMMANDS
    assert entry.main([old, "anything", "--flag"]) == 2
    assert capsys.readouterr().err == f"dsfedmed: {old}: renamed to `{new}` in 0.4. Write `{new}`\n"


def test_an_old_command_is_only_refused_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["report", "recipe"]) == 2
    assert "there is no run record" in capsys.readouterr().err


def test_an_expected_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["report", str(tmp_path / "no_run")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"dsfedmed: {tmp_path / 'no_run' / 'record.json'}: there is no run record. ")
    assert captured.err.count("\n") == 1


def test_the_status_of_a_command_is_that_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("dsfedmed.cli.check_site")
    monkeypatch.setattr(module, "run", lambda args: 1)
    assert entry.main(["check-site", "anywhere"]) == 1

    def fail(_: object) -> int:
        raise DataError("site_a", "is empty", "Fill it")

    monkeypatch.setattr(module, "run", fail)
    assert entry.main(["check-site", "anywhere"]) == 2


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 2500], ids=["name", "path"])
@pytest.mark.parametrize(("command", "status"), [("check-site", 1), ("report", 2)])
def test_a_path_that_no_disk_takes_is_one_line(
    command: str, status: int, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = entry.main([command, str(tmp_path / name)])
    said = capsys.readouterr()
    told = "too long" in said.err + said.out and str(tmp_path) in said.err + said.out
    assert (found, told, "Traceback" in said.err) == (status, True, False)


def test_what_the_system_says_without_a_path_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise OSError(5, "no path")

    monkeypatch.setattr(importlib.import_module("dsfedmed.cli.check_site"), "run", fail)
    with pytest.raises(OSError, match="no path"):
        entry.main(["check-site", "anywhere"])


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(importlib.import_module("dsfedmed.cli.check_site"), "run", fail)
    with pytest.raises(ZeroDivisionError):
        entry.main(["check-site", "anywhere"])


def test_workspace_writes_what_the_simulator_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for site in ("site_a", "site_b"):
        (tmp_path / "sites" / site).mkdir(parents=True)
        (tmp_path / "sites" / site / "datalist.json").write_text("{}")
    given = ["--sites", str(tmp_path / "sites"), "--run", str(tmp_path / "run")]
    assert entry.main(["workspace", str(tmp_path / "ws"), *given]) == 0
    assert "-c site_a,site_b -t 2" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "ws" / "local").iterdir()} == {
        "dsfedmed.yaml",
        "resources.json",
        "log_config.json",
    }
    assert entry.main(["workspace", str(tmp_path / "ws"), "--sites", str(tmp_path / "none"), "--run", "run"]) == 2
    assert "holds no site folder" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "dsfedmed.cli.main", "prepare-data", "prostate"]
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
