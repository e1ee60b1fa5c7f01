# SPDX-License-Identifier: Apache-2.0
"""The site's side of every task: NVFlare hands it over, a child process does it, the reply goes back."""

from __future__ import annotations

import re
import time
from functools import partial

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.site.child import ChildProcess
from dsfedmed.federated.site.reference_weights import REFERENCE, fetch_reference_weights
from dsfedmed.federated.site.task_progress import send_progress
from dsfedmed.federated.wire.message import Message, from_shareable, register_tensors, to_shareable
from dsfedmed.flare.file_streaming import pull_files
from dsfedmed.flare.site_folder import RUN, local_folder, site_folder
from dsfedmed.flare.tracking import publish


class SiteExecutor(Executor):
    """Executes the tasks ``dsf_*``. All state lies on disk, since NVFlare may restart this process between tasks.

    Args:
        run: the run's key, for ``{run}`` in the site's paths.
    """

    def __init__(self, run: str = "run") -> None:
        super().__init__()
        if not re.fullmatch(r"[A-Za-z0-9_-]+", run):  # it becomes a folder's name at the site
            raise ConfigError("run", f"{run!r} is no plain name", "Write the job with this package's recipe")
        self.run = run
        self._child: ChildProcess | None = None

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
        except DSFedMedError as error:
            self.log_error(fl_ctx, str(error))
            shown = {"where": site, "reason": error.reason, "fix": error.fix}
            reply = Message({"error": shown})
        seconds = round(time.monotonic() - started, 3)
        self._track(reply, fl_ctx)
        return to_shareable(Message({**reply.info, "seconds": seconds}, reply.tensors, reply.is_difference))

    def _do(self, task: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Message:
        request = from_shareable(shareable, "server")
        child, folder, cell = self._worker(fl_ctx), site_folder(fl_ctx), fl_ctx.get_engine().get_cell()
        if "files" in request.info:
            pull_files(request.info["files"], folder / "synthetic", cell, abort_signal)
        if REFERENCE in request.info:
            request = fetch_reference_weights(request, folder, cell, abort_signal)
        return child.run(task, request, lambda: bool(abort_signal.triggered), partial(send_progress, task, fl_ctx))

    def _worker(self, fl_ctx: FLContext) -> ChildProcess:
        if self._child is None:
            local, site = local_folder(fl_ctx), fl_ctx.get_identity_name()
            threads = load_party_config(local, site).threads
            self._child = ChildProcess(site, local, site_folder(fl_ctx), threads)
        return self._child

    def _track(self, reply: Message, fl_ctx: FLContext) -> None:
        """Publish the scalars that the task marked for it, through NVFlare's own tracking (TensorBoard, MLflow)."""
        for tag, value in reply.info.get("scalars", {}).items():
            publish(self, fl_ctx.get_engine(), tag, value, int(reply.info.get("round", 0)), from_site=True)
