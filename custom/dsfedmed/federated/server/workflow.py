# SPDX-License-Identifier: Apache-2.0
"""The server's side of any workflow of this package: ask sites, tolerate those that fail, count, resume, record."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dsfedmed.devices import require_device
from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.ledger import ByteLedger, Purpose
from dsfedmed.federated.party.config import PartyConfig, load_party_config
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.party.site_data import PUBLIC_DATA, SITE_DATA
from dsfedmed.federated.server.progress import Progress
from dsfedmed.federated.server.run_record import RunRecord
from dsfedmed.federated.wire.codec import to_object
from dsfedmed.federated.wire.message import Envelope, Message, open_reply, request_message
from dsfedmed.federated.wire.task import ReplyT, RequestT, Task
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.federated.wire.transport import Transport, Waiting
from dsfedmed.options import require
from dsfedmed.reporting.report import build_report
from dsfedmed.settings import Settings
from dsfedmed.store.run_lock import SERVER, run_lock
from dsfedmed.store.stage_store import StageResult, StageStore

LOGGER = logging.getLogger("dsfedmed.server")
FOLDER = "dsfedmed"
"""Run folder within the transport's scratch folder, where the server's configuration names none."""
OnReply = Callable[[str, Envelope[ReplyT]], None]


class FederatedWorkflow(ABC):
    """Base of the workflows. A workflow names its stages and writes `work` on one screen.

    Args:
        settings: of the run.

    Raises:
        ConfigError: an option under ``method`` that this workflow does not have.
    """

    METHOD: str
    GENERATES = False
    """Whether the method has a generator."""
    ONE_SHOT = False
    """Whether the method has something to release without any round of the light network."""
    PUBLIC = False
    """Whether the method needs a public labelled folder at the server."""
    UPDATES: tuple[Task[Any, Any], ...] = (TRAIN,)
    """The tasks of the method, and of what it is compared with, whose reply is an update: its job packs them."""

    BEGUN_WITH = (SITE_DATA, PUBLIC_DATA, "light start", "teacher start")
    """Entries of the store that say what the run began with: they cannot be made again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        reason = f"{self.METHOD} trains in rounds"
        require(settings.rounds > 0 or self.ONE_SHOT, "rounds", reason, "Give 1 or more")
        self.check_options()
        self.absent: set[str] = set()
        self.collapse = ""

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

    def run(self, transport: Transport) -> None:
        """Prepare, work, and leave a record with a verdict whatever happens.

        Raises:
            StoreError: another process works on the run folder, or it holds a run of another configuration.
        """
        self._find(transport)
        with run_lock(self.folder, SERVER):
            self._prepare()
            self._work_to_a_verdict()

    def _work_to_a_verdict(self) -> None:
        failure = ""
        try:
            require_device(self.config.device)
            self._mend()
            self.work()
            self._close(f"incomplete: {self.collapse}" if self.collapse else "complete")
        except DSFedMedError as error:
            self.record.event("error", str(error), self.ledger.stage)
            self._close(f"incomplete: {error}")
            failure = str(error)
        except Exception as error:
            failure = f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
            self._close(f"incomplete: {failure}")
            raise
        finally:
            self.transport.finish(failure)

    def ask(
        self,
        task: Task[RequestT, ReplyT],
        request: Envelope[RequestT],
        sites: Sequence[str] | None = None,
        on_reply: OnReply[ReplyT] | None = None,
        at_least: int | None = None,
    ) -> dict[str, Envelope[ReplyT]]:
        """Send a task to sites and return the replies of those that did it.

        A site that fails, sends what its type does not allow, or does not answer in time, is recorded and left out; it
        is asked again next time.

        Args:
            task: the task.
            request: goes to every site alike.
            sites: whom to ask; the source sites by default.
            on_reply: takes each reply as it arrives, so that nothing piles up; the returned ones then hold no
                tensors. A ``DSFedMedError`` it raises refuses that reply.
            at_least: replies needed; ``min_sites`` of the settings by default.

        Raises:
            DSFedMedError: fewer good replies than needed, with each site's reason; or the run was aborted.
            ValueError: the task's update would not be packed, as ``UPDATES`` lacks it.
        """
        if task.carries_update and task not in self.UPDATES:
            raise ValueError(f"{type(self).__name__}.UPDATES lacks {task.name}: its job would not pack the update")
        targets = list(sites if sites is not None else self.sources)
        needed = min(at_least if at_least is not None else self.settings.min_sites, len(targets))
        replies: dict[str, Envelope[ReplyT]] = {}
        failures: dict[str, str] = {}

        def receive(site: str, unwrap: Callable[[], Message]) -> None:
            try:
                reply = open_reply(task, unwrap(), site)
                if on_reply:
                    on_reply(site, reply)
            except DSFedMedError as error:
                failures[site] = f"{error.reason}. {error.fix}"
                return
            except Exception as error:  # whatever a reply makes a library raise costs its site the task, never the run
                LOGGER.exception("the reply of %s to %s", site, task.name)
                failures[site] = f"its reply cannot be used ({type(error).__name__}). See the server's log"
                return
            if reply.header.privacy is not None:
                self.record.add("privacy", **{site: to_object(reply.header.privacy)})
            replies[site] = reply.without_tensors() if on_reply else reply
            self.progress.site(site, f"{task.name} done in {reply.header.seconds:.1f} s")

        self.progress.task(task.name, targets)
        grace = self._grace(targets)
        enough = len(targets) if task.waits_for_all else needed
        waiting = Waiting(self.settings.timeouts.task_s, grace, lambda: len(replies) >= enough)
        self.transport.send(task.name, request_message(request), targets, receive, waiting)
        self._note_absence(task.name, _round_of(request.body), targets, set(replies), failures)
        self._record_bytes()
        if len(replies) < needed:
            reasons = "; ".join(f"{site}: {failures.get(site, 'no answer')}" for site in targets if site not in replies)
            reason = f"{len(replies)} of {needed} needed sites answered ({reasons})"
            raise DSFedMedError(task.name, reason, "Fix these sites and restart the run")
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
        """Publish a scalar of the server, where the transport has tracking."""
        self.transport.track(tag, value, step)

    def note_collapse(self, text: str) -> None:
        """Note that a training collapsed; if it was the method's own, the run will not be complete."""
        self.record.event("collapsed", text, self.ledger.stage)
        self.progress.say(text)
        if self.ledger.purpose == "method":
            self.collapse = text

    def _close(self, verdict: str) -> None:
        """Give the verdict and write the report of what there is."""
        self.record.finish(verdict)
        build_report(self.folder, self.config.report_cases)
        self.progress.say(f"{self.record.data['verdict']}; see report.html", f" in {self.folder}")
        self.transport.publish(self.folder)

    def _find(self, transport: Transport) -> None:
        """Learn where the run folder is, and who takes part."""
        self.transport = transport
        found = transport.surroundings()
        self.local_folder = found.local
        self.config: PartyConfig = load_party_config(found.local, "server", run_key(self.settings, self.METHOD))
        self.folder = self.config.run or found.scratch / FOLDER
        self.sources = sorted(name for name in found.sites if name not in self.settings.unseen)
        self.unseen = sorted(name for name in found.sites if name in self.settings.unseen)

    def _prepare(self) -> None:
        """Open the store and the record of the run folder."""
        torch.set_num_threads(self.config.server_threads)
        key = {"method": self.METHOD, "settings": self.settings.to_dict(), "sites": self.sources}
        self.store = StageStore(self.folder / "store", key)
        self.record = RunRecord(self.folder, self.METHOD, self.settings, self.sources, self.unseen)
        here = {*self.sources, *self.unseen}
        own = {site: name for site, name in self.config.own_names.items() if site in here}
        self.record.put(site_names=own)
        self.progress = Progress(self.folder, self.stages(self.settings), own)
        self.ledger = ByteLedger()
        self.ledger.restore(self.record.data["bytes"]["entries"])
        self.transport.connect(self.ledger, self.progress.site_step, self.config.uploads_on_disk)

    def _mend(self) -> None:
        """See that the store is as it was left; what is not is done again, and the record says so."""
        for stage, why in self.store.mend(self.BEGUN_WITH).items():
            self.note_redone(stage, why)

    def note_redone(self, stage: str, why: str) -> None:
        """Note that a finished stage is done again."""
        self.record.event("redone", why, stage)
        self.progress.say(f"{stage}: {why}")

    def _grace(self, targets: Sequence[str]) -> float:
        """Return the seconds to wait for the rest; fewer where a site already missed the task before."""
        timeouts = self.settings.timeouts
        return timeouts.returning_grace_s if self.absent & set(targets) else timeouts.straggler_grace_s

    def _record_bytes(self) -> None:
        """Write the ledger down after every task, so that a killed run loses no byte of it."""
        self.record.put(bytes={**self.record.data["bytes"], "entries": self.ledger.entries()})

    def _note_absence(
        self, task: str, number: int | None, targets: list[str], answered: set[str], failures: dict[str, str]
    ) -> None:
        stage = self.ledger.stage
        for site in targets:
            if site not in answered:
                kind, text = ("refused", failures[site]) if site in failures else ("missing", f"no answer to {task}")
                self.record.event(kind, text, stage, number, site)
                self.progress.say(f"{site} {kind}: {text}")
            elif site in self.absent:
                self.record.event("returned", f"answered {task} again", stage, number, site)
        self.absent = (self.absent - set(targets)) | {site for site in targets if site not in answered}


def _round_of(body: object) -> int | None:
    """Return the round that a request asks for, as the record's events name it."""
    number = getattr(body, "round", None)
    number = getattr(number, "round", number)
    return number if isinstance(number, int) else None
