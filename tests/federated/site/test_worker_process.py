# SPDX-License-Identifier: Apache-2.0
"""The site's worker process: a crash there is one failed task with its cause, and the next task starts a new worker."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.site import worker_process as module
from dsfedmed.federated.site.worker_process import WorkerProcess
from dsfedmed.federated.wire.message import Envelope, Message, open_reply, request_message
from dsfedmed.federated.wire.message_files import read_message
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.tasks import FACTS

STAND_IN = """
import hashlib, json, os, signal, sys, time
folder, answers = sys.argv[6], os.fdopen(int(sys.argv[7]), "wb", buffering=0)
for line in sys.stdin:
    task = json.loads(line)["task"]
    if task == "hang":
        time.sleep(60)
    elif task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif task == "leave":
        sys.exit(3)
    elif task == "long":
        for done in (1, 2):
            answers.write(json.dumps({"progress": [done, 3]}).encode() + b"\\n")
        time.sleep(0.05)
        answers.write(json.dumps({"progress": [3, 3]}).encode() + b"\\n")
    elif task == "fail":
        answers.write(json.dumps({"error": {"where": "w", "reason": "r", "fix": "m"}}).encode() + b"\\n")
        continue
    print("log of", task, flush=True)
    info = {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "site": sys.argv[3]}
    head = {"info": info, "is_difference": False, "key": ""}
    seal = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:16]
    with open(folder + "/reply.json", "w") as stream:
        json.dump({**head, "seal": seal}, stream)
    answer = json.dumps({"done": task}).encode() + b"\\n"
    for start in range(0, len(answer), 5):  # in pieces, as a pipe may deliver it
        answers.write(answer[start : start + 5])
        time.sleep(0.01)
"""


ASKED = ("dsf_facts", request_message(Envelope(FactsRequest())))


def never() -> bool:
    return False


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerProcess]:
    """A worker that starts at once: a small program speaks the protocol in place of the real one."""
    program = tmp_path / "stand_in"
    program.write_text(f"#!{sys.executable} -S\n{STAND_IN}")
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    child = WorkerProcess("site_a", tmp_path / "local", tmp_path / "work", threads=3)
    yield child
    child.stop()


def _pid(child: WorkerProcess) -> int:
    assert child._process is not None
    return child._process.pid


def test_one_process_serves_task_after_task(quick: WorkerProcess) -> None:
    first = quick.run("one", Message({"n": 1}), never)
    second = quick.run("two", Message({"n": 2}), never)
    assert first.info == second.info == {"pid": _pid(quick), "threads": "3", "site": "site_a"}
    assert read_message(quick.exchange / "request").info == {"n": 2}
    assert (quick.folder / "worker.log").read_text() == "log of one\nlog of two\n"


def test_progress_before_the_answer_is_passed_on(quick: WorkerProcess) -> None:
    """Two reports may come in one piece, and the last one in one piece with the answer."""
    seen: list[tuple[int, int]] = []
    reply = quick.run("long", Message(), never, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert reply.info["pid"] == _pid(quick)
    quick.run("long", Message(), never)
    assert len(seen) == 3


def test_a_task_s_error_comes_back_and_the_process_goes_on(quick: WorkerProcess) -> None:
    pid = quick.run("one", Message(), never).info["pid"]
    with pytest.raises(DSFedMedError) as caught:
        quick.run("fail", Message(), never)
    assert (caught.value.where, caught.value.reason, caught.value.fix) == ("w", "r", "m")
    assert quick.run("one", Message(), never).info["pid"] == pid


@pytest.mark.parametrize(
    ("task", "how"), [("die", r"died in die with signal 9 \(9 is often out of memory\)"), ("leave", "exit status 3")]
)
def test_a_death_is_seen_and_the_next_task_has_a_new_process(quick: WorkerProcess, task: str, how: str) -> None:
    pid = quick.run("one", Message(), never).info["pid"]
    with pytest.raises(DSFedMedError, match=rf"site_a: the worker process .*{how}.*worker\.log"):
        quick.run(task, Message(), never)
    assert quick.run("one", Message(), never).info["pid"] != pid


def test_killed_between_two_tasks_the_worker_is_replaced(quick: WorkerProcess) -> None:
    """Either it is seen to be dead and replaced, or this one task fails with the cause; the next one works."""
    pid = quick.run("one", Message(), never).info["pid"]
    os.kill(pid, signal.SIGKILL)
    causes = []
    try:
        again = quick.run("one", Message(), never)
    except DSFedMedError as error:
        causes.append(error.reason)
        again = quick.run("one", Message(), never)
    assert all("signal 9" in cause for cause in causes)
    assert again.info["pid"] != pid


def test_an_abort_ends_the_task_and_the_process(quick: WorkerProcess) -> None:
    pid = quick.run("one", Message(), never).info["pid"]
    began = time.monotonic()
    with pytest.raises(DSFedMedError, match=r"site_a: hang was stopped\. The run was aborted; start it again"):
        quick.run("hang", Message(), lambda: time.monotonic() - began > 0.2)
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert quick.run("one", Message(), never).info["pid"] != pid


def test_stopped_from_another_thread_the_task_ends_with_an_error_for_people(quick: WorkerProcess) -> None:
    """NVFlare's abort and end-of-run events arrive in another thread than the task."""
    quick.run("one", Message(), never)
    stopper = threading.Timer(0.3, quick.stop)
    stopper.start()
    with pytest.raises(DSFedMedError, match="site_a"):
        quick.run("hang", Message(), never)
    stopper.join()
    assert quick.run("one", Message(), never).info["site"] == "site_a"


def test_stopping_twice_or_before_the_start_is_nothing(quick: WorkerProcess) -> None:
    quick.stop()
    quick.run("one", Message(), never)
    quick.stop()
    quick.stop()


def _facts(child: WorkerProcess) -> FactsReply:
    return open_reply(FACTS, child.run(*ASKED, never), "site_a").body


def _real_site(folder: Path) -> tuple[WorkerProcess, Path]:
    (site,) = make_demo_sites(folder / "sites", 0, ("site_a",), training=3, validation=2, test=1)
    (folder / "local").mkdir()
    (folder / "local" / "dsfedmed.yaml").write_text(yaml.safe_dump({"data": str(folder / "sites" / "{site}")}))
    return WorkerProcess("site_a", folder / "local", folder / "work", threads=1), site


def test_the_real_worker_answers_hides_file_names_dies_and_comes_back(tmp_path: Path) -> None:
    """One story, since each start of the real worker costs seconds."""
    child, site = _real_site(tmp_path)
    try:
        facts = _facts(child)
        assert facts.facts.counts == {"training": 3, "validation": 2, "test": 1}
        _assert_no_file_name_leaves(child, site)
        pid = _pid(child)
        with pytest.raises(DSFedMedError, match=r"site_a: the worker process died in dsf_facts with signal 9"):
            child.run(*ASKED, lambda: bool(os.kill(pid, signal.SIGKILL)))
        assert _facts(child) == facts
        assert _pid(child) != pid
        with pytest.raises(DSFedMedError, match="dsf_facts was stopped"):
            child.run(*ASKED, lambda: True)
    finally:
        child.stop()


def _assert_no_file_name_leaves(child: WorkerProcess, site: Path) -> None:
    image = json.loads((site / "datalist.json").read_text())["training"][1]["image"]
    content = (site / image).read_bytes()
    (site / image).write_bytes(b"not an image")
    with pytest.raises(
        DSFedMedError, match=r"site_a: DataError, described in the site's own log.*check-site"
    ) as caught:
        child.run(*ASKED, never)
    for part in (Path(image).name, Path(image).stem, str(site), "images"):
        assert part not in str(caught.value)
    assert Path(image).name in (child.folder / "worker.log").read_text(), "the site itself must be able to find it"
    (site / image).write_bytes(content)
