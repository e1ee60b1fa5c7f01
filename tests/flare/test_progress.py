# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: reported seldom enough, checked, and shown at the server."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.site import task_progress as module
from dsfedmed.federated.site.task_progress import (
    DONE,
    TASK,
    TOPIC,
    TOTAL,
    ThrottledProgress,
    is_progress,
    receive_progress,
    send_progress,
)
from dsfedmed.flare.recipe import export_job
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings, merge, read_preset
from tests.federated.conftest import ROOT, simulate_folder
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


class FakeEngine:
    """Hands what a site sends to the server's handler, as NVFlare does."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.codes: list[str] = []

    def register_aux_message_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def send_aux_request(
        self, targets: list[str], topic: str, request: Shareable, timeout: float, fl_ctx: FLContext, optional: bool
    ) -> dict[str, Shareable]:
        assert (targets, timeout, optional) == (["server"], 0.0, True), "a report is never waited for"
        request.set_peer_props({ReservedKey.IDENTITY_NAME: "site_a"})
        self.codes.append(self.handlers[topic](topic=topic, request=request, fl_ctx=fl_ctx).get_return_code())
        return {}


def test_the_server_takes_a_report_under_the_name_that_nvflare_gives() -> None:
    engine, context, received = FakeEngine(), FLContext(), []
    context.get_engine = lambda: engine  # type: ignore[method-assign]
    receive_progress(engine, lambda *report: received.append(report))
    send_progress("dsf_branch", context, 3, 8)
    assert received == [("site_a", "dsf_branch", 3, 8)]
    assert engine.codes == ["OK"]


@pytest.mark.parametrize(
    ("task", "done", "total"),
    [
        ("dsf_train", 9, 8), ("dsf_train", -1, 8), ("dsf_train", 0, 0), ("dsf_train", 1.0, 2), ("dsf_train", True, 2),
        ("dsf_train", "3", 8), (None, None, None), (7, 1, 2),
    ],
)  # fmt: skip
def test_a_bad_report_is_refused_and_logged(task: Any, done: Any, total: Any, caplog: pytest.LogCaptureFixture) -> None:
    engine, received = FakeEngine(), []
    receive_progress(engine, lambda *report: received.append(report))
    report = Shareable()
    report[TASK], report[DONE], report[TOTAL] = task, done, total
    report.set_peer_props({ReservedKey.IDENTITY_NAME: "site_b"})
    caplog.set_level(logging.WARNING)
    reply = engine.handlers[TOPIC](topic=TOPIC, request=report, fl_ctx=FLContext())
    assert reply.get_return_code() == "BAD_REQUEST_DATA"
    assert received == []
    assert "site_b" in caplog.text
    assert not is_progress(task, done, total)


@pytest.mark.federation
def test_a_long_task_shows_how_far_every_site_is(sites: Path, tmp_path: Path) -> None:
    """Real processes: from the training loop through worker, site and server to the console.

    The branch has many steps, so that it takes more than the second of ``progress_s`` on a fast machine too.
    """
    values = merge(
        read_preset(ROOT / "jobs/dsfedmed/presets/smoke.yaml"),
        {
            "preset": "smoke",
            "unseen": ["site_d"],
            "rounds": 1,
            "generator": {"branch_steps": 200},
            "schedule": {"warmup_rounds": 0, "interval_rounds": 1},
            "compare": {"local": False, "fedavg": False, "equal_steps": False, "teacher": False},
        },
    )
    job = export_job(Settings.from_dict(values), tmp_path / "jobs")
    prepare_workspace(tmp_path / "ws", SimulatedSites(sites, tmp_path / "run", ROOT / "bundles"))
    own = tmp_path / "ws" / "local" / "dsfedmed.yaml"
    own.write_text(yaml.safe_dump(yaml.safe_load(own.read_text()) | {"progress_s": 1}))
    code, output = simulate_folder(job, tmp_path / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    lines = re.findall(r"fit branches: (.*)  task ETA \d+:\d\d", output)
    assert lines, output[-3000:]
    for line in lines:
        assert re.fullmatch(r"site_[abc] \d+/200(, site_[abc] \d+/200)*", line), line
