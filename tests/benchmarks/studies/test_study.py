# SPDX-License-Identifier: Apache-2.0
"""A grid of runs: what ends it, so that nobody waits for hours of runs that will not be used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsfedmed_benchmarks.studies.study import Grid, JobRun
from dsfedmed.errors import ConfigError
from dsfedmed.settings import Settings


@pytest.mark.parametrize("end", [ConfigError("runs", "are of two recipes", "Move one"), KeyboardInterrupt()])
def test_an_error_or_an_interrupt_begins_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: begun.append(words[-1]))

    def stop() -> None:
        raise end

    grid = Grid(tuple(JobRun(f"run{number}", ("true",), Settings()) for number in range(50)), tmp_path)
    with pytest.raises(type(end)):
        grid.make(stop)
    assert len(begun) == 1
