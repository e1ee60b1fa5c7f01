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

from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.commands.perf import options_of
from dsfedmed_benchmarks.measurement.table import Benchmark
from dsfedmed_benchmarks.performance import BENCHMARKS


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
    return Benchmark("invented", "Invented", ("options",), ((repr(options),),))


@pytest.fixture
def invented(monkeypatch):
    module = ModuleType("dsfedmed_benchmarks.performance.invented")
    module.run = run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "invented", "nothing")


def test_options_come_from_the_dataclass(invented, tmp_path):
    arguments = ["--scale", "paper", "--steps", "1", "2", "--seconds", "2.5", "--no-warm", "--repeats", "3"]
    assert main(["perf", "invented", "--out", str(tmp_path), *arguments]) == 0
    written = json.loads((tmp_path / "invented.json").read_text())
    assert written["rows"] == [[repr(Options("paper", (1, 2), 2.5, False, 3))]]


def test_defaults_are_the_dataclass_s(invented, tmp_path):
    assert main(["perf", "invented", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "invented.json").read_text())["rows"] == [[repr(Options())]]


def test_a_wrong_choice_is_refused(invented, capsys):
    with pytest.raises(SystemExit):
        main(["perf", "invented", "--scale", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err


def test_help_takes_the_sentences_of_the_docstring(invented, capsys):
    with pytest.raises(SystemExit):
        main(["perf", "invented", "--help"])
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

    module = ModuleType("dsfedmed_benchmarks.performance.plain")
    module.run = plain
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(BENCHMARKS, "plain", "nothing")
    assert main(["perf", "plain", "--out", str(tmp_path), "--folder", "runs/one", "--names", "b", "c"]) == 0
    assert json.loads((tmp_path / "plain.json").read_text())["rows"] == [["one", "b+c"]]
    with pytest.raises(SystemExit):
        main(["perf", "plain"])
    assert "required: --folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_every_benchmark_of_the_list_has_usable_options(name):
    options = options_of(importlib.import_module(f"dsfedmed_benchmarks.performance.{name}"))
    assert all(option.text for option in options)


def test_without_a_name_the_benchmarks_are_listed(capsys):
    assert main(["perf", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(BENCHMARKS)
