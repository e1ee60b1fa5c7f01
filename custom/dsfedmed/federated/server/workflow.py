# SPDX-License-Identifier: Apache-2.0
"""The server's side of any workflow of this package: ask sites, tolerate those that fail, count, resume, record."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.model_controller import ModelController

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.exchange.ledger import ByteLedger, Purpose
from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.party.config import PartyConfig, load_party_config
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.server.progress import Progress
from dsfedmed.federated.server.run_record import RunRecord
from dsfedmed.federated.site.task_progress import receive_progress
from dsfedmed.federated.wire.message import Message, from_model, register_tensors, to_model
from dsfedmed.flare.file_streaming import offer_file, offer_files
from dsfedmed.flare.job_artifacts import FOLDER, export_artifacts
from dsfedmed.flare.memory_release import MemoryReleaser
from dsfedmed.flare.offload import tensors_on_disk
from dsfedmed.flare.privacy.statement import stated
from dsfedmed.flare.simulator_contexts import separate_contexts
from dsfedmed.flare.task_signal import TaskNotifier
from dsfedmed.flare.tracking import publish
from dsfedmed.flare.wire_meter import attach
from dsfedmed.options import require
from dsfedmed.reporting.report import build_report
from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import StageResult, StageStore

POLL_SECONDS = 0.05
OnReply = Callable[[str, Message], None]
OnArrival = Callable[[str, Callable[[], Message]], None]


class FederatedWorkflow(ModelController):  # type: ignore[misc]
    """Base of the workflows. A workflow names its stages and writes `work` on one screen.

    Args:
        configuration: the run's settings as nested mappings (see `dsfedmed.settings`). The attribute keeps them as
            they came, since NVFlare's job export reads constructor arguments back from the attributes.
    """

    METHOD: str
    GENERATES = False
    """Whether the method has a generator."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        separate_contexts()
        super().__init__(persistor_id="", ignore_result_error=True, task_check_period=POLL_SECONDS)
        self.configuration = configuration
        self.settings = Settings.from_dict(configuration)
        self.check_options()
        self.absent: set[str] = set()
        self.upkeep = MemoryReleaser()
        self.ringer = TaskNotifier()

    @classmethod
    @abstractmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Return the names of the stages in order, for the progress line."""

    def check_options(self) -> None:
        """Raise ``ConfigError`` naming an option under ``method`` that this workflow does not have."""
        require(not self.settings.method, "method", f"{self.METHOD} has no options there", "Leave the section out")

    @abstractmethod
    def work(self) -> None:
        """Do all stages; what is finished in the store is not done again."""

    def run(self) -> None:
        """Prepare, work, and leave a record with a verdict whatever happens (called by NVFlare)."""
        self._prepare()
        try:
            with tensors_on_disk(self.engine, self.config.uploads_on_disk, self.METHOD):
                self.work()
            self._close("complete")
        except DSFedMedError as error:
            self.record.event("error", str(error), self.ledger.stage)
            self._close(f"incomplete: {error}")
            self.panic(str(error))
        except Exception as error:
            self._close(f"incomplete: {type(error).__name__}: {str(error).strip().splitlines()[:1]}")
            raise
        finally:
            self._dismiss()

    def ask(
        self,
        task: str,
        request: Message,
        sites: Sequence[str] | None = None,
        on_reply: OnReply | None = None,
        at_least: int | None = None,
    ) -> dict[str, Message]:
        """Send a task to sites and return the replies of those that did it.

        A site that fails, or does not answer in time, is recorded and left out; it is asked again next time.

        Args:
            task: task name.
            request: goes to every site alike.
            sites: whom to ask; the source sites by default.
            on_reply: takes each reply as it arrives, so that nothing piles up; the returned messages then hold no
                tensors. A ``PayloadError`` it raises refuses that reply.
            at_least: replies needed; ``min_sites`` of the settings by default.

        Raises:
            DSFedMedError: fewer good replies than needed, with each site's reason; or the run was aborted.
        """
        targets = list(sites if sites is not None else self.sources)
        needed = min(at_least if at_least is not None else self.settings.min_sites, len(targets))
        replies: dict[str, Message] = {}
        failures: dict[str, str] = {}

        def receive(site: str, unwrap: Callable[[], Message]) -> None:
            try:
                self.upkeep.passed(take(site, unwrap()))
            except DSFedMedError as error:
                failures[site] = f"{error.reason}. {error.fix}"

        def take(site: str, reply: Message) -> int:
            if error := reply.info.get("error"):
                raise PayloadError(site, error["reason"], error["fix"])
            if (said := stated(site, reply)) is not None:
                self.record.add("privacy", **{site: said})
            if on_reply:
                on_reply(site, reply)
            replies[site] = Message(reply.info, {}, reply.is_difference) if on_reply else reply
            self.progress.site(site, f"{task} done in {reply.info.get('seconds', 0):.1f} s")
            return byte_count(reply.tensors)

        self.progress.task(task, targets)
        self._send(task, request, targets, receive, lambda: len(replies) >= needed)
        self._note_absence(task, request, targets, replies, failures)
        self._record_bytes()
        self.upkeep.passed(byte_count(request.tensors) * len(targets))
        if len(replies) < needed:
            reasons = "; ".join(f"{site}: {failures.get(site, 'no answer')}" for site in targets if site not in replies)
            raise DSFedMedError(
                task,
                f"{len(replies)} of {needed} needed sites answered ({reasons})",
                "Fix these sites and start the run again",
            )
        return {site: replies[site] for site in targets if site in replies}

    @contextmanager
    def stage(self, name: str, purpose: Purpose = "method") -> Iterator[None]:
        """Enter a stage: time, bytes and progress count under its name."""
        started, resumed = time.monotonic(), self.store.has(name)
        self.ledger.stage, self.ledger.purpose = name, purpose
        self.progress.stage(name, resumed)
        yield
        self.record.stage(name, time.monotonic() - started, resumed)
        self._record_bytes()

    def once(self, name: str, make: Callable[[], StageResult], purpose: Purpose = "method") -> StageResult:
        """Return a stage's result from the store, or make and keep it."""
        with self.stage(name, purpose):
            if self.store.has(name):
                return self.store.get(name)
            result = make()
            self.store.put(name, result.info, result.tensors)
            return result

    def track(self, tag: str, value: float, step: int) -> None:
        """Publish a scalar of the server through NVFlare's tracking."""
        publish(self, self.engine, tag, value, step, from_site=False)

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
        """Let the sites pull the files of ``manifest``; yields what a request says of them under ``files``."""
        offer, transaction = offer_files(folder, manifest, self.engine.get_cell())
        try:
            yield offer
        finally:
            transaction.delete_transaction()

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[dict[str, Any]]:
        """Let the sites pull one file; yields what a request says of it."""
        offer, transaction = offer_file(path, self.engine.get_cell())
        try:
            yield offer
        finally:
            transaction.delete_transaction()

    def _close(self, verdict: str) -> None:
        """Give the verdict and write the report of what there is."""
        self.record.finish(verdict)
        build_report(self.folder)
        self.progress.say(f"{verdict}; see {self.folder / 'report.html'}")
        export_artifacts(self.folder, self.nvflare_run)

    def _dismiss(self) -> None:
        """Tell all sites that no task will follow."""
        self.ringer.dismiss(self.sources + self.unseen, self.fl_ctx)

    def _prepare(self) -> None:
        self.local_folder, self.nvflare_run, present = self._environment()
        self.config: PartyConfig = load_party_config(self.local_folder, "server", run_key(self.settings, self.METHOD))
        torch.set_num_threads(self.config.server_threads)
        self.folder = self.config.run or self.nvflare_run / FOLDER
        self.sources = sorted(name for name in present if name not in self.settings.unseen)
        self.unseen = sorted(name for name in present if name in self.settings.unseen)
        key = {"method": self.METHOD, "settings": self.settings.to_dict(), "sites": self.sources}
        self.store = StageStore(self.folder / "store", key)
        self.record = RunRecord(self.folder, self.METHOD, self.settings, self.sources, self.unseen)
        self.progress = Progress(self.folder, self.stages(self.settings))
        self.ledger = ByteLedger()
        self.ledger.restore(self.record.data["bytes"]["entries"])
        self._connect()

    def _environment(self) -> tuple[Path, Path, list[str]]:
        """Return NVFlare's folder ``local``, its run folder, and the names of the sites that have joined."""
        register_tensors()
        self.ringer.listen(self.engine)
        local = Path(self.engine.get_workspace().get_site_config_dir())
        return local, Path(self.get_run_dir()), [client.name for client in self.engine.get_clients()]

    def _connect(self) -> None:
        """Let the ledger count what goes through NVFlare's cell, and the sites report their progress."""
        attach(self.ledger, self.engine.get_cell())
        receive_progress(self.engine, self.progress.site_step)

    def _record_bytes(self) -> None:
        """Write the ledger down after every task, so that a killed run loses no byte of it."""
        self.record.put(bytes={**self.record.data["bytes"], "entries": self.ledger.entries()})

    def _send(
        self,
        task: str,
        request: Message,
        targets: list[str],
        receive: OnArrival,
        enough: Callable[[], bool],
    ) -> None:
        """Broadcast and wait for all targets, but no longer than the patience of the settings once there are enough.

        NVFlare's own ``min_responses`` counts failed replies too, so the waiting for good ones is done here.
        """

        def arrived(model: FLModel) -> None:
            site = str(model.meta["client_name"])
            receive(site, lambda: from_model(model, site, filtered=True))

        timeouts = self.settings.timeouts
        known_absent = bool(self.absent & set(targets))
        self.broadcast_model(
            to_model(request),
            task_name=task,
            targets=targets,
            timeout=timeouts.task_s,
            blocking=False,
            callback=arrived,
        )
        self.ringer.ring(targets, self.fl_ctx)
        patience = timeouts.returning_grace_s if known_absent else timeouts.straggler_grace_s
        enough_since: float | None = None
        while self.get_num_standing_tasks():
            if enough_since is None and enough():
                enough_since = time.monotonic()
            if enough_since is not None and time.monotonic() - enough_since > patience:
                self.cancel_all_tasks(fl_ctx=self.fl_ctx)
            if self.abort_signal.triggered:
                raise DSFedMedError(task, "the run was aborted", "Start it again to go on behind the last stage")
            time.sleep(POLL_SECONDS)

    def _note_absence(
        self, task: str, request: Message, targets: list[str], replies: dict[str, Message], failures: dict[str, str]
    ) -> None:
        stage, round_number = self.ledger.stage, request.info.get("round")
        for site in targets:
            if site not in replies:
                kind, text = ("refused", failures[site]) if site in failures else ("missing", f"no answer to {task}")
                self.record.event(kind, text, stage, round_number, site)
                self.progress.say(f"{site} {kind}: {text}")
            elif site in self.absent:
                self.record.event("returned", f"answered {task} again", stage, round_number, site)
        self.absent = (self.absent - set(targets)) | {site for site in targets if site not in replies}
