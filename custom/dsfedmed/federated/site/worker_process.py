# SPDX-License-Identifier: Apache-2.0
"""The site's heavy work in a child process, so that a crash there is one failed task and not a failed job.

In NVFlare 2.9 a client job process that dies (out of memory, segmentation fault) fails the whole job. The child takes
one JSON line per task on its standard input and answers one JSON line on a pipe of its own; tensors pass through
safetensors files, never by pickling. It stays alive between tasks, keeps images in memory, and is started anew when
it has died.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.party.launcher import LAUNCHER, own_mark
from dsfedmed.federated.site.task_progress import ProgressCallback, no_progress, progress_steps
from dsfedmed.federated.wire.codec import from_json
from dsfedmed.federated.wire.message import Message, SiteError
from dsfedmed.federated.wire.message_files import read_message, write_message
from dsfedmed.store.json_types import Json

POLL_SECONDS = 0.1


class WorkerProcess:
    """One worker process of a site.

    Args:
        site: NVFlare name of the site.
        local: folder with ``dsfedmed.yaml``.
        folder: the site's own folder, with the worker's log. Requests and replies pass in a folder below it that
            belongs to this process, since the worker of a job that was killed may still be busy there.
        threads: CPU threads the worker may use.
    """

    def __init__(self, site: str, local: Path, folder: Path, threads: int) -> None:
        self.site, self.local, self.folder, self.threads = site, local, folder, threads
        self.exchange = folder / "exchange" / str(os.getpid())
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: IO[bytes] | None = None
        self._read = b""

    def run(
        self, task: str, request: Message, aborted: Callable[[], bool], on_progress: ProgressCallback = no_progress
    ) -> Message:
        """Do one task and return its reply; ``on_progress`` is called when the task reports how far it is.

        Raises:
            DSFedMedError: what the task raised, or that the process ended; the next call starts a new one.
        """
        self._start()
        write_message(self.exchange / "request", request)
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"task": task}).encode() + b"\n")
            process.stdin.flush()
            while (steps := progress_steps(answer := self._wait(task, aborted))) is not None:
                on_progress(*steps)
        except (BrokenPipeError, EOFError):
            raise self._death(task, process) from None
        if "error" in answer:
            error = from_json(SiteError, answer["error"], self.site)
            raise DSFedMedError(error.where, error.reason, error.fix)
        return read_message(self.exchange / "reply")

    def stop(self) -> None:
        """End the process, gently first."""
        process, self._process = self._process, None
        shutil.rmtree(self.exchange, ignore_errors=True)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.exchange.mkdir(parents=True, exist_ok=True)
        _remove_stale_folders(self.exchange.parent)
        reader, writer = os.pipe()
        threads = str(self.threads)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            LAUNCHER: own_mark(),  # it ends with this process, in the middle of a task too
        }
        command = [sys.executable, "-m", "dsfedmed.federated.site.worker", self.site, str(self.local), str(self.folder)]
        command.append(str(self.exchange))
        with (self.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(writer)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                env=environment,
            )
        os.close(writer)
        self._answers, self._read = os.fdopen(reader, "rb", buffering=0), b""

    def _wait(self, task: str, aborted: Callable[[], bool]) -> dict[str, Json]:
        assert self._answers is not None
        while b"\n" not in self._read:
            if aborted():
                self.stop()
                raise DSFedMedError(self.site, f"{task} was stopped", "The run was aborted; start it again to go on")
            if select.select([self._answers], [], [], POLL_SECONDS)[0]:
                piece = self._answers.read(65536)
                if not piece:
                    raise EOFError
                self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Json] = json.loads(line)
        return answer

    def _death(self, task: str, process: subprocess.Popen[bytes]) -> DSFedMedError:
        code = process.wait()
        if self._process is not process:  # another thread has stopped it, at the end of the run
            return DSFedMedError(self.site, f"{task} was stopped", "The run was aborted; start it again to go on")
        self._process = None
        how = f"signal {-code} (9 is often out of memory)" if code < 0 else f"exit status {code}"
        return DSFedMedError(self.site, f"the worker process died in {task} with {how}", "See worker.log at the site")


def _remove_stale_folders(exchange: Path) -> None:
    """Remove the folders of processes that are no more."""
    for folder in exchange.iterdir():
        try:
            os.kill(int(folder.name), 0)
        except (ValueError, ProcessLookupError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue
