# SPDX-License-Identifier: Apache-2.0
"""A site's tasks in this very process: nothing to start, and a debugger sees everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.serve import answer
from dsfedmed.federated.site.task_progress import ProgressCallback, ThrottledProgress, no_progress
from dsfedmed.federated.wire.message import Message, SiteError


class InProcessWorker:
    """Does a site's tasks with the site's own number of threads.

    Args:
        site: name of the site.
        config: what the site keeps to itself.
        folder: the site's own folder.
    """

    def __init__(self, site: str, config: PartyConfig, folder: Path) -> None:
        self._threads, self._every_s = config.threads, config.progress_s
        self._site = SiteContext(site, config, folder)

    def run(
        self,
        task: str,
        request: Message,
        aborted: Callable[[], bool],  # noqa: ARG002 (nothing can abort it: it runs in the server's own thread)
        on_progress: ProgressCallback = no_progress,
    ) -> Message:
        """Do one task.

        Raises:
            DSFedMedError: why it could not be done.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        self._site.on_progress = ThrottledProgress(on_progress, self._every_s)
        try:
            found = answer(self._site, task, request)
        finally:
            torch.set_num_threads(threads)
        if isinstance(found, SiteError):
            raise DSFedMedError(found.where, found.reason, found.fix)
        return found

    def stop(self) -> None:
        """Do nothing: there is no process to end."""
