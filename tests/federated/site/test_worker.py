# SPDX-License-Identifier: Apache-2.0
"""The worker's program, in this process: lines in, lines out, messages in files, progress now and then."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dsfedmed.errors import StoreError
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site import worker as module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.worker import answer_from_files, limit_memory, main
from dsfedmed.federated.wire.message import Envelope, Message, open_reply, request_message
from dsfedmed.federated.wire.message_files import read_message, write_message
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.tasks import FACTS

REQUEST = request_message(Envelope(FactsRequest()))


def test_request_and_reply_lie_in_files(site: SiteContext, tmp_path: Path) -> None:
    write_message(tmp_path / "request", REQUEST)
    assert answer_from_files(site, "dsf_facts", tmp_path) == {"done": "dsf_facts"}
    reply = open_reply(FACTS, read_message(tmp_path / "reply"), "site_a")
    assert reply.body.facts.counts == {"training": 6, "validation": 3, "test": 2}


def test_an_error_is_returned_and_no_reply_is_written(site: SiteContext, tmp_path: Path) -> None:
    write_message(tmp_path / "request", Message({"body": {"paths": 1}}))
    answer: Any = answer_from_files(site, "dsf_facts", tmp_path)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"where", "reason", "fix"}
    assert "unknown key" in answer["error"]["reason"]
    assert not (tmp_path / "reply.json").exists()


def test_a_request_that_cannot_be_read_is_an_error_without_its_path(site: SiteContext, tmp_path: Path) -> None:
    answer: Any = answer_from_files(site, "dsf_facts", tmp_path / "nowhere")
    assert StoreError.__name__ in answer["error"]["reason"]
    assert "nowhere" not in str(answer)


class Pipe:
    """The worker's standard input and its pipe for answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *tasks: str) -> None:
        self.reader, self.writer = os.pipe()
        lines = "".join(json.dumps({"task": task}) + "\n" for task in tasks)
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))

    def answers(self) -> list[dict[str, Any]]:
        with os.fdopen(self.reader, "rb") as stream:
            return [json.loads(line) for line in stream.read().splitlines()]


@pytest.fixture
def local(tmp_path: Path, images: Path) -> Path:
    site_module._datalist.cache_clear()
    (tmp_path / "local").mkdir()
    config = {"data": str(images), "threads": 1, "progress_s": 0}
    (tmp_path / "local" / "dsfedmed.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "local"


def test_a_line_a_task_until_the_input_closes(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(monkeypatch, "dsf_facts", "dsf_shell", "dsf_facts")
    write_message(tmp_path / "request", REQUEST)
    main(["site_a", str(local), str(tmp_path / "own"), str(tmp_path), str(pipe.writer)])
    first, second, third = pipe.answers()
    assert first == third == {"done": "dsf_facts"}
    assert "unknown task" in second["error"]["reason"]


def test_a_tasks_steps_are_told_before_its_answer(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(site: SiteContext, task: str, _: Path) -> dict[str, Any]:
        site.on_progress(1, 2)
        return {"done": task}

    monkeypatch.setattr(module, "answer_from_files", work)
    monkeypatch.setattr(module, "ThrottledProgress", Often)
    pipe = Pipe(monkeypatch, "dsf_train")
    main(["site_a", str(local), str(tmp_path / "own"), str(tmp_path), str(pipe.writer)])
    assert pipe.answers() == [{"progress": [1, 2]}, {"done": "dsf_train"}]


class Often:
    """Passes every step on."""

    def __init__(self, on_progress: Any, every_s: int) -> None:
        self._on_progress = on_progress
        assert every_s == 0, "as the site's configuration says"

    def begin(self) -> None:
        """Nothing to count from."""

    def __call__(self, done: int, total: int) -> None:
        self._on_progress(done, total)


def test_the_threads_are_those_of_the_site(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    (local / "dsfedmed.yaml").write_text("threads: 3\n")
    pipe = Pipe(monkeypatch)
    main(["site_a", str(local), str(tmp_path / "own"), str(tmp_path), str(pipe.writer)])
    assert asked == [3]
    assert pipe.answers() == []


def test_memory_is_limited_where_the_site_says_so(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    for text in ("threads: 1\n", "memory_gib: 1.5\n"):
        (local / "dsfedmed.yaml").write_text(text)
        main(["site_a", str(local), str(tmp_path / "own"), str(tmp_path), str(Pipe(monkeypatch).writer)])
    assert limits == [(resource.RLIMIT_DATA, (3 * 2**29, 3 * 2**29))]


def test_beyond_the_limit_an_allocation_fails() -> None:
    """In a process of its own, since a limit cannot be lifted: 512 MiB are there before, and not with 256 MiB left."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert len(bytearray(2**29)) == 2**29
            (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
            limit_memory(int(line.split()[1]) / 2**20 + 0.25)
            status = 2
            bytearray(2**29)
        except MemoryError:
            status = 0 if status == 2 else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
