# SPDX-License-Identifier: Apache-2.0
"""What goes out once before the rounds of sites without labels: the public set, and SAM-Fed's teacher with it.

Stage "broadcast teacher" (SAM-Fed, every site lets it label its own images), or "broadcast public set" (the others).
"""

from __future__ import annotations

from typing import Any

from dsfedmed.errors import ConfigError, DSFedMedError, PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.public_set import FOLDER, PublicSet, teacher_kind
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.semi_supervised import LabelReply, LabelRequest, PublicReply, PublicRequest
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import LABEL, PUBLIC
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.semi_supervised.config import SamFedConfig


def unlabelled_sites(run: FederatedWorkflow, label_site: str) -> list[str]:
    """Return the sites that train: all source sites but the one whose labels play the public set.

    Raises:
        ConfigError: there is no such site, or no other one.
    """
    if label_site and label_site not in run.sources:
        known = ", ".join(run.sources)
        raise ConfigError("method.label_site", f"{label_site!r} is no source site", f"Choose one of {known}")
    training = [site for site in run.sources if site != label_site]
    if len(training) < run.settings.min_sites:
        reason = f"{len(training)} sites are left without labels, and min_sites is {run.settings.min_sites}"
        raise ConfigError("method.label_site", reason, "Add sites, or lower min_sites")
    return training


def still_there(run: FederatedWorkflow, sites: list[str]) -> list[str]:
    """Return those of ``sites`` that the stage "check sites" has not left out.

    Raises:
        DSFedMedError: fewer than ``min_sites``.
    """
    left = [site for site in sites if site in run.sources]
    if len(left) < run.settings.min_sites:
        reason = f"{len(left)} sites are left to train, and min_sites is {run.settings.min_sites}"
        raise DSFedMedError("check sites", reason, "Correct the sites that were left out, as the events say")
    return left


class PublicBroadcast:
    """The one broadcast of the public set, and who has it.

    Args:
        run: the workflow.
        plan: the networks.
        public: the public set.
        sites: the sites that train.
    """

    STAGE = "broadcast public set"
    TASK: Task[Any, Any] = PUBLIC

    def __init__(self, run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, sites: list[str]) -> None:
        self._run, self._plan, self._public, self._sites = run, plan, public, sites
        self._done: set[str] = set(run.once(self.STAGE, self._first).info["sites"])

    def ready(self) -> tuple[str, ...]:
        """Return the sites that have what was sent; those that missed it are asked again first."""
        missed = [site for site in self._sites if site not in self._done]
        if missed:
            self._done |= self._ask(missed, 0).keys()
        return tuple(site for site in self._sites if site in self._done)

    def request(self, offer: SetOffer) -> Envelope[Any]:
        """Return what is sent; the set's files are pulled."""
        return Envelope(PublicRequest(offer))

    def told(self, reply: PublicReply | LabelReply) -> float:
        """Return the number of a site's reply that the store keeps."""
        return reply.public

    def _check(self, site: str, reply: Envelope[PublicReply | LabelReply]) -> None:
        """Refuse a site that does not have the public set."""
        found, due = reply.body.public, self._public.manifest.count
        if found != due:
            raise PayloadError(site, f"has {found} public images of {due}", SAME_VERSION)

    def _first(self) -> StageResult:
        return StageResult({"sites": self._ask(self._sites, None)}, {})

    def _ask(self, sites: list[str], at_least: int | None) -> dict[str, float]:
        """Send it to sites; return what those that answered told."""
        with self._run.transport.offered(self._run.folder / FOLDER, self._public.manifest) as offer:
            request = self.request(offer)
            replies = self._run.ask(self.TASK, request, sites=sites, on_reply=self._check, at_least=at_least)
        return {site: self.told(reply.body) for site, reply in replies.items()}


class TeacherBroadcast(PublicBroadcast):
    """The one broadcast of teacher and public set, and who has labelled its images with them.

    Args:
        run: the workflow.
        plan: the networks.
        public: the public set.
        teacher: what was tuned of the teacher.
        sites: the sites that train.
    """

    STAGE = "broadcast teacher"
    TASK: Task[Any, Any] = LABEL

    def __init__(
        self, run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, teacher: Weights, sites: list[str]
    ) -> None:
        self._teacher, self._config = teacher, SamFedConfig.from_dict(run.settings.method)
        super().__init__(run, plan, public, sites)

    def request(self, offer: SetOffer) -> Envelope[Any]:
        """Return what is sent: the teacher beside the set's files, which are pulled."""
        plan, kind = self._plan, teacher_kind(self._plan)
        init = plan.teacher_init if kind == "low_rank" else None
        body = LabelRequest(plan.common, offer, kind, plan.teacher_spec, init, self._config)
        return Envelope(body, pack(self._teacher, "fp16"))

    def told(self, reply: PublicReply | LabelReply) -> float:
        """Return SAM's mean confidence on a site's images."""
        assert isinstance(reply, LabelReply)
        return reply.confidence
