# SPDX-License-Identifier: Apache-2.0
"""The transport without NVFlare: all parties on this machine, the same workflows and site tasks.

Sites are worked off one after another in this process, or side by side in a process each. Messages have the same raw
form as over NVFlare, and are checked in the same way on arrival.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dsfedmed.data.manifest import Manifest
from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.wire.message import Message, SiteError, error_message
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.transport import OnArrival, OnSiteProgress, Surroundings, Waiting

LOGGER = logging.getLogger("dsfedmed.local")
POLL_SECONDS = 0.05
Answer = tuple[Message, int]


class LocalTransport:
    """Carries messages between a workflow and sites on this machine.

    Args:
        local: folder with ``dsfedmed.yaml``.
        sites: the sites by name.
        at_once: let the sites work side by side; only for workers in processes of their own.
    """

    def __init__(self, local: Path, sites: Mapping[str, LocalSite], at_once: bool) -> None:
        self.local, self.sites, self.at_once = local, dict(sites), at_once
        self._ledger = ByteLedger()
        self._on_progress: OnSiteProgress = lambda *_: None
        self._threads = {name: ThreadPoolExecutor(1, f"dsfedmed-{name}") for name in sites} if at_once else {}

    def surroundings(self) -> Surroundings:
        """Return the folder with the configuration, and all sites."""
        return Surroundings(self.local, self.local, tuple(sorted(self.sites)))

    def connect(self, ledger: ByteLedger, on_progress: OnSiteProgress, uploads_on_disk: bool) -> None:  # noqa: ARG002
        """Count bytes and report progress; uploads are never on a wire here."""
        self._ledger, self._on_progress = ledger, on_progress

    def send(self, task: str, request: Message, sites: Sequence[str], receive: OnArrival, waiting: Waiting) -> None:
        """Give every site the task and hand over the replies as they come."""
        size = _size(request)
        for site in sites:
            self._ledger.add(site, "down", size)
        if not self.at_once:
            for site in sites:
                self._hand_over(site, self._ask(site, task, request), receive)
            return
        asked = {self._threads[site].submit(self._ask, site, task, request): site for site in sites}
        for future in _as_they_come(asked, waiting):
            self._hand_over(asked[future], future.result(), receive)

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[SetOffer]:
        """Name the folder; the sites copy the files from there."""
        yield SetOffer(manifest, str(folder))

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[FileOffer]:
        """Name the file; the sites copy it."""
        yield FileOffer("this machine", str(path))

    def track(self, tag: str, value: float, step: int) -> None:
        """Publish nothing: tracking is NVFlare's; curves are in the record."""

    def publish(self, run: Path) -> None:
        """Do nothing: the run folder is on this machine."""

    def finish(self, error: str) -> None:  # noqa: ARG002 (the record says why)
        """End the sites' workers."""
        for site in self.sites.values():
            site.worker.stop()
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, site: str, task: str, request: Message) -> Answer:
        try:
            return self.sites[site].answer(task, request, partial(self._on_progress, site, task))
        except Exception as error:  # a site's full disk is that site's failed task; the run goes on without it
            LOGGER.exception("%s: %s", site, task)
            reason = f"{task} failed with {type(error).__name__}"
            return error_message(SiteError(site, reason, "See the log of this process"), site), 0

    def _hand_over(self, site: str, answer: Answer, receive: OnArrival) -> None:
        reply, fetched = answer
        if fetched:
            self._ledger.add(site, "down", fetched)
        self._ledger.add(site, "up", _size(reply))
        receive(site, lambda: reply)


def _as_they_come(asked: Mapping[Future[Answer], str], waiting: Waiting) -> Iterator[Future[Answer]]:
    """Yield the answers as they come, for no longer than the task, or the grace once there are enough."""
    pending, started = set(asked), time.monotonic()
    enough_since: float | None = None
    while pending:
        done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        yield from done
        now = time.monotonic()
        if enough_since is None and waiting.enough():
            enough_since = now
        if now - started > waiting.task_s or (enough_since is not None and now - enough_since > waiting.grace_s):
            return


def _size(message: Message) -> int:
    return len(json.dumps(message.info)) + byte_count(message.tensors)
