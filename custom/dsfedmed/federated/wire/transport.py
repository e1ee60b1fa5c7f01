# SPDX-License-Identifier: Apache-2.0
"""What the server's workflow needs of whatever carries its messages: NVFlare, or processes on one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsfedmed.data.manifest import Manifest
from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.specs import FileOffer, SetOffer

OnArrival = Callable[[str, Callable[[], Message]], None]
"""Called with a site and what unwraps its message; unwrapping may raise ``PayloadError``."""
OnSiteProgress = Callable[[str, str, int, int], None]
"""Called with site, task, steps done and steps in all."""


@dataclass(frozen=True)
class Surroundings:
    """Where a workflow finds itself.

    Attributes:
        local: folder with the server's ``dsfedmed.yaml``.
        scratch: a folder of this job, for the run folder where the configuration names none.
        sites: names of the sites that have joined.
    """

    local: Path
    scratch: Path
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Waiting:
    """How long a task may take.

    Attributes:
        task_s: seconds for the whole task.
        grace_s: seconds for the remaining sites, once enough have answered.
        enough: tells whether enough have.
    """

    task_s: int
    grace_s: float
    enough: Callable[[], bool]


class Transport(Protocol):
    """Carries requests to sites and their replies back."""

    def surroundings(self) -> Surroundings:
        """Return where the workflow finds itself, before anything else."""

    def connect(self, ledger: ByteLedger, on_progress: OnSiteProgress, uploads_on_disk: bool) -> None:
        """Begin: count bytes into ``ledger``, report the sites' progress, keep large uploads on disk where asked."""

    def send(self, task: str, request: Message, sites: Sequence[str], receive: OnArrival, waiting: Waiting) -> None:
        """Send a task to sites, and hand over each reply as it arrives; return when no further one is waited for.

        Raises:
            DSFedMedError: the run was aborted.
        """

    def offered(self, folder: Path, manifest: Manifest) -> AbstractContextManager[SetOffer]:
        """Let sites pull the files of ``manifest`` within the block."""

    def offered_file(self, path: Path) -> AbstractContextManager[FileOffer]:
        """Let sites pull one file within the block."""

    def track(self, tag: str, value: float, step: int) -> None:
        """Publish a scalar of the server, where there is tracking."""

    def publish(self, run: Path) -> None:
        """Take over what a researcher may fetch of the finished run folder."""

    def finish(self, error: str) -> None:
        """End: no task will follow. A non-empty ``error`` says why the run is incomplete."""
