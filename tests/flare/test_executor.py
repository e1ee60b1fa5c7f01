# SPDX-License-Identifier: Apache-2.0
"""The site's side of a task over NVFlare: the worker does it; what goes wrong goes back with the site's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.data.facts import SiteFacts
from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    ReplyHeader,
    is_error,
    open_reply,
    reply_message,
    request_message,
)
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.tasks import FACTS
from dsfedmed.flare import executor as module
from dsfedmed.flare.codec import from_shareable, register_tensors, to_shareable
from dsfedmed.flare.executor import SiteExecutor
from dsfedmed.flare.site_folder import RUN

REPLY = FactsReply(
    SiteFacts(1, 1, ("lesion",), True, (0, 1), {"training": 3}, (".png",), (32, 32), (32, 32), {}), "0" * 64
)
HEADER = ReplyHeader(scalars={"dsfedmed/loss": 0.5}, step=3)


class Worker:
    """In place of the worker process: answers, reports progress, or fails."""

    def __init__(self, site: str, local: Path, folder: Path, threads: int) -> None:
        self.place, self.threads = (site, local, folder), threads
        self.asked: list[tuple[str, Message]] = []
        self.fails: DSFedMedError | None = None
        self.stopped = 0

    def run(self, task: str, request: Message, aborted: Callable[[], bool], on_progress: ProgressCallback) -> Message:
        self.asked.append((task, request))
        if self.fails or aborted():
            raise self.fails or DSFedMedError("site_a", f"{task} was stopped", "Start it again")
        on_progress(1, 2)
        return reply_message(Envelope(REPLY, header=HEADER))

    def stop(self) -> None:
        self.stopped += 1


class Site:
    """A site's NVFlare context with what the executor asks of it, and what it did."""

    def __init__(self, folder: Path) -> None:
        (folder / "local").mkdir()
        (folder / "local" / "dsfedmed.yaml").write_text(f"output: {folder}/out/{{run}}\nthreads: 3\n")
        self.folder, self.progress, self.tracked = folder, [], []  # type: ignore[var-annotated]
        workspace = SimpleNamespace(get_site_config_dir=lambda: str(folder / "local"))
        self.context, self.aborted = FLContext(), Signal()
        engine = SimpleNamespace(get_workspace=lambda: workspace, get_cell=lambda: None, fire_event=lambda *_: None)
        for key, value in ((ReservedKey.ENGINE, engine), (ReservedKey.IDENTITY_NAME, "site_a")):
            self.context.set_prop(key, value, private=True, sticky=False)

    def execute(self, executor: SiteExecutor, message: Message, task: str = FACTS.name) -> Message:
        told: Shareable = executor.execute(task, to_shareable(message), self.context, self.aborted)
        return from_shareable(told, "site_a")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    register_tensors()
    site = Site(tmp_path)
    monkeypatch.setattr(module, "WorkerProcess", Worker)
    monkeypatch.setattr(module, "send_progress", lambda task, _, *steps: site.progress.append((task, *steps)))
    monkeypatch.setattr(
        module, "log_scalar", lambda _, __, *scalar, from_site: site.tracked.append((scalar, from_site))
    )
    return site


@pytest.fixture
def executor(site: Site) -> SiteExecutor:
    executor = SiteExecutor("dsfedmed-0123")
    executor.handle_event(EventType.START_RUN, site.context)
    return executor


def worker_of(executor: SiteExecutor) -> Any:
    return executor._child


ASK = request_message(Envelope(FactsRequest()))


def test_the_worker_s_reply_comes_back_with_its_seconds(site: Site, executor: SiteExecutor) -> None:
    reply = open_reply(FACTS, site.execute(executor, ASK), "site_a")
    assert reply.body == REPLY
    assert reply.header.seconds >= 0
    assert (reply.header.scalars, reply.header.step) == (HEADER.scalars, 3)
    assert worker_of(executor).asked == [(FACTS.name, ASK)]


def test_the_worker_has_the_site_s_own_folder_and_threads_and_serves_every_task(
    site: Site, executor: SiteExecutor
) -> None:
    site.execute(executor, ASK)
    worker = worker_of(executor)
    assert worker.place == ("site_a", site.folder / "local", site.folder / "out" / "dsfedmed-0123")
    assert worker.threads == 3
    site.execute(executor, ASK)
    assert worker_of(executor) is worker
    assert len(worker.asked) == 2


def test_progress_and_scalars_go_to_the_server(site: Site, executor: SiteExecutor) -> None:
    site.execute(executor, ASK)
    assert site.progress == [(FACTS.name, 1, 2)]
    assert site.tracked == [(("dsfedmed/loss", 0.5, 3), True)]


def test_what_fails_at_the_site_is_a_reply_with_its_name(site: Site, executor: SiteExecutor) -> None:
    site.execute(executor, ASK)
    worker_of(executor).fails = DSFedMedError("w", "the worker process died", "See worker.log at the site")
    reply = site.execute(executor, ASK)
    assert is_error(reply)
    assert reply.info["error"] == {"where": "site_a", "reason": "the worker process died",
                                   "fix": "See worker.log at the site"}  # fmt: skip
    assert site.tracked == [(("dsfedmed/loss", 0.5, 3), True)], "a failed task has no scalars"


@pytest.mark.parametrize(
    ("task", "message", "words"),
    [
        ("dsf_pixels", ASK, "unknown task 'dsf_pixels'"),
        (FACTS.name, Message({"body": {"images": True}}), "unknown key 'images'"),
        (FACTS.name, Message({"weights": 1}), "a message of weights"),
    ],
)
def test_a_request_that_is_none_of_the_task_starts_nothing(
    site: Site, executor: SiteExecutor, task: str, message: Message, words: str
) -> None:
    reply = site.execute(executor, message, task)
    assert words in str(reply.info["error"])
    assert worker_of(executor) is None


def test_tensors_that_are_not_those_that_were_sent_are_refused(site: Site, executor: SiteExecutor) -> None:
    sent = to_shareable(Message(ASK.info, {"w": torch.ones(3)}))
    sent["DXO"]["data"]["w"] = torch.zeros(3)
    reply = from_shareable(executor.execute(FACTS.name, sent, site.context, site.aborted), "site_a")
    assert "do not match their hash" in str(reply.info["error"])


def test_an_abort_reaches_the_worker(site: Site, executor: SiteExecutor) -> None:
    site.aborted.trigger(True)
    assert "dsf_facts was stopped" in str(site.execute(executor, ASK).info["error"])


@pytest.mark.parametrize("event", [EventType.END_RUN, EventType.ABORT_TASK])
def test_the_worker_ends_with_the_run(site: Site, executor: SiteExecutor, event: str) -> None:
    executor.handle_event(event, site.context)
    site.execute(executor, ASK)
    executor.handle_event(event, site.context)
    assert worker_of(executor).stopped == 1


def test_the_run_s_key_is_the_folder_s_name(site: Site, executor: SiteExecutor) -> None:
    assert site.context.get_prop(RUN) == "dsfedmed-0123"
    for wrong in ("../elsewhere", "a/b", "", "{site}"):
        with pytest.raises(ConfigError, match="not a plain name"):
            SiteExecutor(wrong)
