# SPDX-License-Identifier: Apache-2.0
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

from dsfedmed_benchmarks.performance import BENCHMARKS
from dsfedmed_benchmarks.measurement.table import Benchmark
from dsfedmed_benchmarks.commands.perf import options_of
from dsfedmed.cli.main import main


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        scale: which networks; the paper's
            or small ones.
        steps: of the sampler, at 100 % of them.
        seconds: limit. None of it counts.
        warm: take a warm-up step.
        repeats: how often, or None for once.
    """

    scale: Literal["cpu", "paper"] = "cpu"
    steps: tuple[int, ...] = (4, 8)
    seconds: float = 1.0
    warm: bool = True
    repeats: int | None = None


def run(options: Options) -> Benchmark:
    return Benchmark("made_up", "Made up", ("options",), ((repr(options),),))


@pytest.fixture
def made_up(monkeypatch):
    module = ModuleType("dsfedmed.benchmarks.made_up")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "made_up", "nothing")


def test_options_come_from_the_dataclass(made_up, tmp_path):
    arguments = ["--scale", "paper", "--steps", "1", "2", "--seconds", "2.5", "--no-warm", "--repeats", "3"]
    assert main(["bench", "made_up", "--out", str(tmp_path), *arguments]) == 0
    written = json.loads((tmp_path / "made_up.json").read_text())
    assert written["rows"] == [[repr(Options("paper", (1, 2), 2.5, False, 3))]]


def test_defaults_are_the_dataclass_s(made_up, tmp_path):
    assert main(["bench", "made_up", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "made_up.json").read_text())["rows"] == [[repr(Options())]]


def test_a_wrong_choice_is_refused(made_up, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "made_up", "--scale", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err


def test_help_takes_the_sentences_of_the_docstring(made_up, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "made_up", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "which networks (default: cpu)" in text
    assert "of the sampler, at 100 % of them (default: (4, 8))" in text
    assert "limit (default: 1.0)" in text


def test_plain_parameters_serve_too_and_callbacks_are_left_out(monkeypatch, tmp_path, capsys):
    def plain(folder: Path, names: Sequence[str] = ("a",), *, say: Callable[[str], None] = print) -> Benchmark:
        """Measure.

        Args:
            folder: what is read.
        """
        say("measured")
        return Benchmark("plain", "Plain", ("folder", "names"), ((folder.name, "+".join(names)),))

    module = ModuleType("dsfedmed.benchmarks.plain")
    module.run = plain
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "plain", "nothing")
    assert main(["bench", "plain", "--out", str(tmp_path), "--folder", "runs/one", "--names", "b", "c"]) == 0
    assert json.loads((tmp_path / "plain.json").read_text())["rows"] == [["one", "b+c"]]
    with pytest.raises(SystemExit):
        main(["bench", "plain"])
    assert "required: --folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_benchmark_of_the_list_has_usable_options(name):
    options = options_of(importlib.import_module(f"dsfedmed.benchmarks.{name}"))
    assert all(option.text for option in options)


def test_without_a_name_the_benchmarks_are_listed(capsys):
    assert main(["bench", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(BENCHMARKS)
