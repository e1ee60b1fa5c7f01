# SPDX-License-Identifier: Apache-2.0
"""Main program of a site's worker process (see `dsfedmed.federated.site.worker_process`)."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO

import torch

from dsfedmed.errors import StoreError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.launcher import end_with_launcher
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.serve import answer
from dsfedmed.federated.site.task_progress import PROGRESS, ThrottledProgress
from dsfedmed.federated.wire.codec import to_json
from dsfedmed.federated.wire.message import SiteError
from dsfedmed.federated.wire.message_files import read_message, write_message
from dsfedmed.store.json_types import JsonObject


def answer_from_files(site: SiteContext, task: str, folder: Path) -> JsonObject:
    """Do one task; request and reply lie in ``folder``, an error is returned for the server to read."""
    try:
        found = answer(site, task, read_message(folder / "request"))
        if isinstance(found, SiteError):
            return {"error": to_json(found)}
        write_message(folder / "reply", found)
        return {"done": task}
    except StoreError as error:
        return {"error": to_json(site.public_error(error))}


def limit_memory(gib: float) -> None:
    """Let this process ask for no more than ``gib`` GiB of data (Linux): beyond it a task fails, the site lives on."""
    size = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def main(argv: list[str]) -> None:
    """Serve tasks until standard input closes, or the process that started this one is gone."""
    end_with_launcher()
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
            _write(answers, answer_from_files(site, json.loads(line)["task"], exchange))


def _write(answers: IO[bytes], content: JsonObject) -> None:
    answers.write(json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
