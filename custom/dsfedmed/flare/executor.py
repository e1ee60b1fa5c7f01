# SPDX-License-Identifier: Apache-2.0
"""The site's side of every task: NVFlare hands it over, a child process does it, the reply goes back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.party.launcher import end_with_launcher
from dsfedmed.federated.site.reference_weights import fetch_reference_weights, without_offer
from dsfedmed.federated.site.worker_process import WorkerProcess
from dsfedmed.federated.wire.message import (
    Message,
    ReplyHeader,
    error_message,
    open_header,
    open_request,
    request_message,
    with_header,
)
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.tasks import task_named
from dsfedmed.flare.codec import from_shareable, register_tensors, to_shareable
from dsfedmed.flare.file_streaming import pull_file, pull_files
from dsfedmed.flare.progress import send_progress
from dsfedmed.flare.site_folder import RUN, local_folder, site_folder
from dsfedmed.flare.tracking import log_scalar


class SiteExecutor(Executor):
    """Executes the tasks ``dsf_*``. All state lies on disk, since NVFlare may restart this process between tasks.

    Args:
        run: the run's key, for ``{run}`` in the site's paths.
    """

    def __init__(self, run: str = "run") -> None:
        super().__init__()
        end_with_launcher()
        if not re.fullmatch(r"[A-Za-z0-9_-]+", run):  # it becomes a folder's name at the site
            raise ConfigError("run", f"{run!r} is not a plain name", "Write the job with this package's recipe")
        self.run = run
        self._child: WorkerProcess | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Prepare at the start of the run, end the child at its end."""
        if event_type == EventType.START_RUN:
            register_tensors()
            fl_ctx.set_prop(RUN, self.run, private=True, sticky=True)
        elif event_type in (EventType.END_RUN, EventType.ABORT_TASK) and self._child:
            self._child.stop()

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Do one task; an error goes back as a reply that names the site, the reason and the fix."""
        site = fl_ctx.get_identity_name()
        started = time.monotonic()
        try:
            reply = self._do(task_name, shareable, fl_ctx, abort_signal)
            header = replace(open_header(reply, site), seconds=round(time.monotonic() - started, 3))
            self._track(header, fl_ctx)
            return to_shareable(with_header(reply, header))
        except DSFedMedError as error:
            self.log_error(fl_ctx, str(error))
            return to_shareable(error_message(error, site))

    def _do(self, name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Message:
        request = open_request(task_named(name), from_shareable(shareable, "server"))
        child, folder, cell = self._worker(fl_ctx), site_folder(fl_ctx), fl_ctx.get_engine().get_cell()
        offer = getattr(request.body, "files", None)
        if isinstance(offer, SetOffer):
            pull_files(offer, folder / SET_FOLDER, cell, abort_signal)

        def pull(offer: FileOffer, target: Path, is_whole: Callable[[Path], bool]) -> None:
            pull_file(offer, target, is_whole, cell, abort_signal)

        message = request_message(without_offer(fetch_reference_weights(request, folder, pull)))
        return child.run(name, message, lambda: bool(abort_signal.triggered), partial(send_progress, name, fl_ctx))

    def _worker(self, fl_ctx: FLContext) -> WorkerProcess:
        if self._child is None:
            local, site = local_folder(fl_ctx), fl_ctx.get_identity_name()
            threads = load_party_config(local, site).threads
            self._child = WorkerProcess(site, local, site_folder(fl_ctx), threads)
        return self._child

    def _track(self, header: ReplyHeader, fl_ctx: FLContext) -> None:
        """Publish the scalars that the task marked for it, through NVFlare's own tracking (TensorBoard, MLflow)."""
        for tag, value in header.scalars.items():
            log_scalar(self, fl_ctx.get_engine(), tag, value, header.step, from_site=True)
