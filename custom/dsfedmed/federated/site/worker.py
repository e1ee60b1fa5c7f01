# SPDX-License-Identifier: Apache-2.0
"""Main program of a site's worker process (see `dsfedmed.federated.site.worker_process`)."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import IO

import torch

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.task_progress import PROGRESS, ThrottledProgress
from dsfedmed.federated.wire.codec import to_json
from dsfedmed.federated.wire.message import SiteError
from dsfedmed.federated.wire.message_files import read_message, write_message
from dsfedmed.json_types import Json

LOGGER = logging.getLogger("dsfedmed.worker")


def answer(site: SiteContext, task: str, folder: Path) -> dict[str, Json]:
    """Do one task; the reply is written to ``folder``, an error is returned for the server to read."""
    try:
        reply = site.answer(task, read_message(folder / "request"))
        write_message(folder / "reply", reply)
        return {"done": task}
    except DSFedMedError as error:
        LOGGER.error("%s: %s", task, error)
        return {"error": to_json(site.public_error(error))}
    except Exception as error:  # whatever a library raises is a failed task with a log, never a dead site
        traceback.print_exc()
        kind = "ran out of memory" if _out_of_memory(error) else f"failed with {type(error).__name__}"
        return {"error": to_json(SiteError(site.name, f"{task[:60]} {kind}", "See worker.log at the site"))}


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


def limit_memory(gib: float) -> None:
    """Let this process ask for no more than ``gib`` GiB of data (Linux): beyond it a task fails, the site lives on."""
    size = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def main(argv: list[str]) -> None:
    """Serve tasks until standard input closes."""
    name, local, folder, exchange, descriptor = argv[0], Path(argv[1]), Path(argv[2]), Path(argv[3]), int(argv[4])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    config = load_party_config(local, name)
    torch.set_num_threads(config.threads)
    if config.memory_gib:
        limit_memory(config.memory_gib)
    with os.fdopen(descriptor, "wb", buffering=0) as answers:
        progress = ThrottledProgress(lambda *steps: _write(answers, {PROGRESS: list(steps)}), config.progress_s)
        site = SiteContext(name, config, folder, progress)
        for line in sys.stdin:
            progress.begin()
            _write(answers, answer(site, json.loads(line)["task"], exchange))


def _write(answers: IO[bytes], content: dict[str, Json]) -> None:
    answers.write(json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
