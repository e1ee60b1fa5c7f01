# SPDX-License-Identifier: Apache-2.0
"""``python -m dsfedmed_benchmarks``: its sub-commands are there, imported when named, and errors are one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsfedmed_benchmarks import cli, commands

CUSTOM = Path(cli.__file__).parents[1]


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_is_a_module_with_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"dsfedmed_benchmarks.commands.{name.replace('-', '_')}")
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m dsfedmed_benchmarks {name} ")
    assert str(module.__doc__).splitlines()[0] in out


def test_no_command_module_is_forgotten() -> None:
    modules = {path.stem for path in Path(str(commands.__file__)).parent.glob("*.py")} - {"__init__"}
    assert modules == {name.replace("-", "_") for name in cli.COMMANDS}


def test_the_list_of_commands_needs_neither_torch_nor_nvflare() -> None:
    program = (
        "import sys, dsfedmed_benchmarks.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'nvflare', 'scipy'} & sys.modules.keys(), 'imported'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(CUSTOM)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in cli.COMMANDS)


def test_it_runs_as_a_module_in_a_checkout() -> None:
    command = [sys.executable, "-m", "dsfedmed_benchmarks", "perf", "--list"]
    environment = {**os.environ, "PYTHONPATH": str(CUSTOM)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("distillation ")


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["seeds-table"]])
def test_wrong_usage_ends_with_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m dsfedmed_benchmarks")
    assert said.count("\n") == 1


def test_an_expected_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["seeds-table", str(tmp_path / "no_run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dsfedmed_benchmarks: ")
    assert "there are no results" in error
    assert error.count("\n") == 1
