# SPDX-License-Identifier: Apache-2.0
"""The site's side of every task: NVFlare hands it over, a child process does it, the reply goes back."""

from __future__ import annotations

import time
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.child import ChildProcess
from dsfedmed.federated.files import pull_files
from dsfedmed.federated.messages import Message, from_shareable, register_tensors, to_shareable
from dsfedmed.federated.site_config import SiteConfig, load_site_config
from dsfedmed.federated.tracking import publish


class SiteExecutor(Executor):
    """Executes the tasks ``dsf_*``. All state lies on disk, since NVFlare may restart this process between tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._child: ChildProcess | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:  # noqa: ARG002 (NVFlare's signature)
        """Prepare at the start of the run, end the child at its end."""
        if event_type == EventType.START_RUN:
            register_tensors()
        elif event_type in (EventType.END_RUN, EventType.ABORT_TASK) and self._child:
            self._child.stop()

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Do one task; an error goes back as a reply that names the site, the reason and the mend."""
        site = fl_ctx.get_identity_name()
        started = time.monotonic()
        try:
            reply = self._do(task_name, shareable, fl_ctx, abort_signal)
        except DSFedMedError as error:
            self.log_error(fl_ctx, str(error))
            shown = {"where": site, "reason": error.reason, "mend": error.mend}
            reply = Message({"error": shown})
        seconds = round(time.monotonic() - started, 3)
        self._track(reply, fl_ctx)
        return to_shareable(Message({**reply.info, "seconds": seconds}, reply.tensors, reply.is_difference))

    def _do(self, task: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Message:
        request = from_shareable(shareable, "server")
        child, config = self._prepared(fl_ctx)
        if "files" in request.info:
            cell = fl_ctx.get_engine().get_cell()
            pull_files(request.info["files"], _folder(config, fl_ctx) / "synthetic", cell, abort_signal)
        return child.run(task, request, lambda: bool(abort_signal.triggered))

    def _prepared(self, fl_ctx: FLContext) -> tuple[ChildProcess, SiteConfig]:
        local = Path(fl_ctx.get_engine().get_workspace().get_site_config_dir())
        site = fl_ctx.get_identity_name()
        config = load_site_config(local, site)
        if self._child is None:
            self._child = ChildProcess(site, local, _folder(config, fl_ctx), config.threads)
        return self._child, config

    def _track(self, reply: Message, fl_ctx: FLContext) -> None:
        """Publish the scalars that the task marked for it, through NVFlare's own tracking (TensorBoard, MLflow)."""
        for tag, value in reply.info.get("scalars", {}).items():
            publish(self, fl_ctx.get_engine(), tag, value, int(reply.info.get("round", 0)), from_site=True)


def _folder(config: SiteConfig, fl_ctx: FLContext) -> Path:
    """The site's own output folder; inside NVFlare's run folder unless the site says otherwise."""
    if config.output is not None:
        return config.output
    workspace = fl_ctx.get_engine().get_workspace()
    return Path(workspace.get_run_dir(fl_ctx.get_job_id())) / "dsfedmed"
