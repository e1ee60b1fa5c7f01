# SPDX-License-Identifier: Apache-2.0
"""The `dsfedmed` command: its sub-commands, its exit status, and errors as one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dsfedmed.cli import main as entry
from dsfedmed.errors import DataError
from dsfedmed.site_names import plain_name
from dsfedmed.version import VERSION


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"dsfedmed.cli.{entry.COMMANDS[name].module}")


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_command_is_a_module_with_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = module_of(name)
    with pytest.raises(SystemExit) as ended:
        entry.main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: dsfedmed {name} ")
    assert str(module.__doc__).splitlines()[0] in out


HELP = """
import sys, dsfedmed.cli.main as entry
for words in ([], *([name] for name in entry.COMMANDS)):
    try: entry.main([*words, "--help"])
    except SystemExit: pass
    found = {"torch", "monai", "nvflare", "numpy", "scipy", "yaml", "PIL", "diffusers"} & sys.modules.keys()
    assert not found, (words, found)
"""


def test_help_needs_no_library() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"usage: dsfedmed {name} " in done.stdout for name in entry.COMMANDS)


def test_no_command_module_is_forgotten() -> None:
    folder = Path(entry.__file__).parent
    found = {path for path in folder.rglob("*.py") if "\ndef configure(" in path.read_text(encoding="utf-8")}
    known = {folder.joinpath(*command.module.split(".")).with_suffix(".py") for command in entry.COMMANDS.values()}
    assert found == known


@pytest.mark.parametrize(("module", "extra"), [("diffusers.models", "generator"), ("nvflare", "nvflare")])
def test_a_missing_extra_is_one_line(module: str, extra: str, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert entry.exit_status("dsfedmed", command) == 2
    said = capsys.readouterr().err
    assert said == f"dsfedmed: {module}: not installed. Install it with: pip install 'dsfedmed[{extra}]'\n"


def test_any_other_missing_module_is_a_bug() -> None:
    def command() -> int:
        raise ModuleNotFoundError("No module named 'dsfedmed.nothing'", name="dsfedmed.nothing")

    with pytest.raises(ModuleNotFoundError):
        entry.exit_status("dsfedmed", command)


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
    said = capsys.readouterr().err
    assert said.startswith("dsfedmed")
    assert "--help`\n" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run", "dsfedmd", "--sites", "s", "--out", "o"],
            "'dsfedmd' is none of the methods; did you mean 'dsfedmed'?",
        ),
        (["run"], "required: method, --sites, --out; method is one of ditto, dsfedmed, "),
        (
            ["run", "fedbn", "--sites", "s", "--out", "o", "--unseen", "North", "General"],
            "unrecognized arguments: General (put a name with a space in quotes)",
        ),
        (["predict", "run", "images", "--out", "o", "--overlay"], "unrecognized arguments: --overlay. See"),
    ],
)
def test_wrong_words_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        entry.main(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_curves_that_no_package_draws_are_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module_of("run"), "find_spec", lambda _: None)
    words = ["run", "fedbn", "--sites", str(tmp_path), "--out", str(tmp_path / "runs" / "a"), "--tracking", "wandb"]
    assert entry.main(words) == 2
    assert "wandb: not installed. Install it with: pip install 'dsfedmed[tracking]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


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
    module = module_of("check-site")
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

    monkeypatch.setattr(module_of("check-site"), "run", fail)
    with pytest.raises(OSError, match="no path"):
        entry.main(["check-site", "anywhere"])


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module_of("workspace"), "run", interrupted)
    assert entry.main(["workspace", "here", "--sites", "sites", "--run", "run"]) == 130
    assert capsys.readouterr().err == "dsfedmed: stopped\n"


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(module_of("check-site"), "run", fail)
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
    assert "there is no such folder" in capsys.readouterr().err


def test_export_job_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export-job", "fedbn", str(tmp_path), "--preset", "smoke"]
    assert entry.main([*words, "--unseen", "site_d"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/fedbn"
    assert f"  nvflare job submit -j {tmp_path}/fedbn" in lines
    assert f"  nvflare simulator {tmp_path}/fedbn -w ws -c SITE,SITE -t 2" in lines
    assert entry.main([*words, "--unseen", "North General"]) == 2
    said = capsys.readouterr().err
    assert "--unseen: 'North General' is no name of NVFlare's" in said
    assert f"`workspace` makes {plain_name('North General')}\n" in said


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "dsfedmed.cli.main", "prepare-data", "prostate"]
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
