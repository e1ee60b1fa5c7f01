# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: seldom enough, two whole numbers, and shown at the server."""

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

from dsfedmed.federated import headway as module
from dsfedmed.federated.headway import DONE, TOPIC, TOTAL, Teller, is_headway, listen, send
from dsfedmed.federated.recipe import export_job
from dsfedmed.federated.workspace import SimulatedSites, prepare_workspace, site_names
from dsfedmed.settings import Settings, merge, read_preset
from tests.federated.conftest import ROOT, simulate_folder
from tests.federated.watch import Watch


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(module, "time", watch)
    return watch


def told_at(watch: Watch, teller: Teller, seconds: list[float]) -> None:
    for number, second in enumerate(seconds, 1):
        watch.now = 1000.0 + second
        teller(number, len(seconds))


def test_a_task_s_word_passes_only_every_so_many_seconds(watch: Watch) -> None:
    told: list[tuple[int, int]] = []
    teller = Teller(lambda done, total: told.append((done, total)), 30)
    told_at(watch, teller, [0, 29.9, 30, 31, 59.9, 60, 200])
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_a_new_task_counts_from_its_own_start(watch: Watch) -> None:
    told: list[tuple[int, int]] = []
    teller = Teller(lambda done, total: told.append((done, total)), 30)
    watch.now += 100
    teller.begin()
    teller(1, 2)
    assert told == []


def test_a_site_may_say_nothing_at_all(watch: Watch) -> None:
    told: list[int] = []
    told_at(watch, Teller(lambda done, _: told.append(done), 0), [0, 1000, 5000])
    assert told == []


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
        assert (targets, timeout, optional) == (["server"], 0.0, True), "a word is never waited for"
        request.set_peer_props({ReservedKey.IDENTITY_NAME: "site_a"})
        self.codes.append(self.handlers[topic](topic=topic, request=request, fl_ctx=fl_ctx).get_return_code())
        return {}


def test_the_server_takes_the_word_under_the_name_that_nvflare_gives() -> None:
    engine, context, taken = FakeEngine(), FLContext(), []
    context.get_engine = lambda: engine  # type: ignore[method-assign]
    listen(engine, lambda *word: taken.append(word))
    send(3, 8, context)
    assert taken == [("site_a", 3, 8)]
    assert engine.codes == ["OK"]


@pytest.mark.parametrize(("done", "total"), [(9, 8), (-1, 8), (0, 0), (1.0, 2), (True, 2), ("3", 8), (None, None)])
def test_what_is_no_such_word_is_refused_and_logged(done: Any, total: Any, caplog: pytest.LogCaptureFixture) -> None:
    engine, taken = FakeEngine(), []
    listen(engine, lambda *word: taken.append(word))
    word = Shareable()
    word[DONE], word[TOTAL] = done, total
    word.set_peer_props({ReservedKey.IDENTITY_NAME: "site_b"})
    caplog.set_level(logging.WARNING)
    assert engine.handlers[TOPIC](topic=TOPIC, request=word, fl_ctx=FLContext()).get_return_code() == "BAD_REQUEST_DATA"
    assert taken == []
    assert "site_b" in caplog.text
    assert not is_headway(done, total)


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
            "schedule": {"warmup_rounds": 0, "every": 1},
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
