# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: reported seldom enough, and read only where it is a report."""

from __future__ import annotations

import pytest

from dsfedmed.federated.site import task_progress as module
from dsfedmed.federated.site.task_progress import ThrottledProgress, progress_steps
from tests.federated.watch import Watch


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(module, "time", watch)
    return watch


def report_at(watch: Watch, progress: ThrottledProgress, seconds: list[float]) -> None:
    for number, second in enumerate(seconds, 1):
        watch.now = 1000.0 + second
        progress(number, len(seconds))


def test_progress_passes_only_every_so_many_seconds(watch: Watch) -> None:
    passed: list[tuple[int, int]] = []
    report_at(watch, ThrottledProgress(lambda *steps: passed.append(steps), 30), [0, 29.9, 30, 31, 59.9, 60, 200])
    assert passed == [(3, 7), (6, 7), (7, 7)]


def test_a_new_task_counts_from_its_own_start(watch: Watch) -> None:
    passed: list[tuple[int, int]] = []
    progress = ThrottledProgress(lambda *steps: passed.append(steps), 30)
    watch.now += 100
    progress.begin()
    progress(1, 2)
    assert passed == []


def test_a_site_may_report_nothing_at_all(watch: Watch) -> None:
    passed: list[tuple[int, int]] = []
    report_at(watch, ThrottledProgress(lambda *steps: passed.append(steps), 0), [0, 1000, 5000])
    assert passed == []


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        ({"progress": [3, 8]}, (3, 8)),
        ({"progress": [3]}, None),
        ({"progress": [3.0, 8]}, None),
        ({"progress": [True, 8]}, None),
        ({"progress": "3/8"}, None),
        ({"done": "dsf_train"}, None),
    ],
)
def test_a_workers_line_is_progress_or_its_answer(line: dict, steps: tuple[int, int] | None) -> None:
    assert progress_steps(line) == steps
