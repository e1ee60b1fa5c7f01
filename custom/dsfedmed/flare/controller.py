# SPDX-License-Identifier: Apache-2.0
"""The workflows over NVFlare: one controller for all methods, which carries their messages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.model_controller import ModelController

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.launcher import end_with_launcher
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.transport import OnArrival, OnSiteProgress, Surroundings, Waiting
from dsfedmed.flare.codec import from_model, register_tensors, to_model
from dsfedmed.flare.file_streaming import offer_file, offer_files
from dsfedmed.flare.job_artifacts import export_artifacts
from dsfedmed.flare.memory_release import MemoryReleaser
from dsfedmed.flare.offload import tensors_on_disk
from dsfedmed.flare.progress import receive_progress
from dsfedmed.flare.simulator_contexts import separate_contexts
from dsfedmed.flare.task_signal import TaskNotifier
from dsfedmed.flare.tracking import log_scalar
from dsfedmed.flare.wire_meter import attach
from dsfedmed.settings import Settings
from dsfedmed.store.json_types import Json

POLL_SECONDS = 0.05


class WorkflowController(ModelController):  # type: ignore[misc]
    """NVFlare's controller of one workflow, to which it is the transport; a subclass says which workflow.

    Args:
        workflow: what it runs.
    """

    def __init__(self, workflow: FederatedWorkflow) -> None:
        separate_contexts()
        end_with_launcher()
        super().__init__(persistor_id="", ignore_result_error=True, task_check_period=POLL_SECONDS)
        self.workflow = workflow
        self._memory = MemoryReleaser()
        self._notifier = TaskNotifier()
        self._open = ExitStack()
        self._sites: tuple[str, ...] = ()

    def run(self) -> None:
        """Do the whole workflow (called by NVFlare)."""
        with self._open:
            self.workflow.run(self)

    def surroundings(self) -> Surroundings:
        """Return NVFlare's folder ``local``, its run folder, and the names of the sites that have joined."""
        register_tensors()
        self._notifier.listen(self.engine)
        local = Path(self.engine.get_workspace().get_site_config_dir())
        self._sites = tuple(sorted(client.name for client in self.engine.get_clients()))
        return Surroundings(local, Path(self.get_run_dir()), self._sites)

    def connect(self, ledger: ByteLedger, on_progress: OnSiteProgress, uploads_on_disk: bool) -> None:
        """Count what goes through NVFlare's cell, and receive the sites' progress."""
        attach(ledger, self.engine.get_cell())
        receive_progress(self.engine, on_progress)
        self._open.enter_context(tensors_on_disk(self.engine, uploads_on_disk, self.workflow.METHOD))

    def send(self, task: str, request: Message, sites: Sequence[str], receive: OnArrival, waiting: Waiting) -> None:
        """Broadcast, and wait for all sites, but no longer than the grace once there are enough.

        NVFlare's own ``min_responses`` counts failed replies too, so the waiting for good ones is done here.
        """

        def arrived(model: FLModel) -> None:
            site = str(model.meta["client_name"])
            received: list[int] = []

            def unwrap() -> Message:
                message = from_model(model, site, filtered=True)
                received.append(byte_count(message.tensors))
                return message

            receive(site, unwrap)
            self._memory.count(sum(received))

        self.broadcast_model(
            to_model(request), task_name=task, targets=list(sites), timeout=waiting.task_s, blocking=False,
            callback=arrived,
        )  # fmt: skip
        self._notifier.notify(sites, self.fl_ctx)
        self._wait(task, waiting)
        self._memory.count(byte_count(request.tensors) * len(sites))

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[SetOffer]:
        """Let the sites pull the files of ``manifest`` within the block."""
        offer, transaction = offer_files(folder, manifest, self.engine.get_cell())
        try:
            yield offer
        finally:
            transaction.delete_transaction()

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[FileOffer]:
        """Let the sites pull one file within the block."""
        offer, transaction = offer_file(path, self.engine.get_cell())
        try:
            yield offer
        finally:
            transaction.delete_transaction()

    def track(self, tag: str, value: float, step: int) -> None:
        """Publish a scalar of the server through NVFlare's tracking."""
        log_scalar(self, self.engine, tag, value, step, from_site=False)

    def publish(self, run: Path) -> None:
        """Copy what a researcher may fetch into NVFlare's run folder."""
        export_artifacts(run, Path(self.get_run_dir()))

    def finish(self, error: str) -> None:
        """Tell all sites that no task will follow; end the job with an error where there is one."""
        self._notifier.notify_finished(self._sites, self.fl_ctx)
        if error:
            self.panic(error)

    def _wait(self, task: str, waiting: Waiting) -> None:
        enough_since: float | None = None
        while self.get_num_standing_tasks():
            if enough_since is None and waiting.enough():
                enough_since = time.monotonic()
            if enough_since is not None and time.monotonic() - enough_since > waiting.grace_s:
                self.cancel_all_tasks(fl_ctx=self.fl_ctx)
            if self.abort_signal.triggered:
                raise DSFedMedError(task, "the run was aborted", "Start it again to resume after the last stage")
            time.sleep(POLL_SECONDS)


class FederatedController(WorkflowController):
    """NVFlare's controller of any method.

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        configuration: the run's settings as nested mappings (see `dsfedmed.settings`). Both attributes keep what came,
            since NVFlare's job export reads constructor arguments back from the attributes.

    Raises:
        ConfigError: an unknown method, or settings that are not allowed.
    """

    def __init__(self, method: str, configuration: dict[str, Json]) -> None:
        super().__init__(workflow_of(method, Settings.from_dict(configuration)))
        self.method, self.configuration = method, configuration
