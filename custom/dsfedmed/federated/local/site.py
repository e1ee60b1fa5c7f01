# SPDX-License-Identifier: Apache-2.0
"""A site on this machine: fetches what a request offers, lets its worker do the task, packs the update.

That is what NVFlare's executor and the job's own filter do between them; the filters of a hospital's ``privacy.json``
are NVFlare's and do not run here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dsfedmed.data.synthetic import verify_shard
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.site.reference_weights import fetch_reference_weights, without_offer
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import (
    Message,
    error_message,
    open_header,
    open_request,
    request_message,
    with_header,
)
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.tasks import task_named
from dsfedmed.store.files import inside


class Worker(Protocol):
    """Does a site's tasks (`InProcessWorker`, or `dsfedmed.federated.site.worker_process.WorkerProcess`)."""

    def run(
        self, task: str, request: Message, aborted: Callable[[], bool], on_progress: ProgressCallback = ...
    ) -> Message:
        """Do one task; raises ``DSFedMedError`` where that fails."""

    def stop(self) -> None:
        """End."""


class LocalSite:
    """One site.

    Args:
        name: of the site.
        folder: the site's own folder.
        worker: does its tasks.
    """

    def __init__(self, name: str, folder: Path, worker: Worker) -> None:
        self.name, self.folder, self.worker = name, folder, worker

    def answer(self, task: str, request: Message, on_progress: ProgressCallback) -> tuple[Message, int]:
        """Do one task; return the raw reply, or error, and the bytes of the files that were fetched for it."""
        started = time.monotonic()
        fetched: list[int] = []
        try:
            prepared = self._fetch(task, request, fetched)
            reply = self.worker.run(task, prepared, lambda: False, on_progress)
            header = replace(open_header(reply, self.name), seconds=round(time.monotonic() - started, 3))
            return pack_update(with_header(reply, header), self.name, self.folder), sum(fetched)
        except DSFedMedError as error:
            return error_message(error, self.name), sum(fetched)

    def _fetch(self, task: str, message: Message, fetched: list[int]) -> Message:
        request = open_request(task_named(task), message)
        offer = getattr(request.body, "files", None)
        if isinstance(offer, SetOffer):
            _copy_set(offer, self.folder / SET_FOLDER, fetched)

        def pull(offer: FileOffer, target: Path, is_whole: Callable[[Path], bool]) -> None:
            shutil.copyfile(offer.reference, target)
            fetched.append(target.stat().st_size)
            if not is_whole(target):
                raise PayloadError(target.name, "did not arrive whole", "Run again")

        return request_message(without_offer(fetch_reference_weights(request, self.folder, pull)))


def _copy_set(offer: SetOffer, folder: Path, fetched: list[int]) -> None:
    """Copy every shard that is not yet here with the right hash, and verify it."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in offer.manifest.shards:
        target = inside(folder, shard.name)
        if target.exists():
            try:
                verify_shard(target, shard)
                continue
            except PayloadError:
                target.unlink()
        shutil.copyfile(Path(offer.source) / shard.name, target)
        fetched.append(target.stat().st_size)
        verify_shard(target, shard)
