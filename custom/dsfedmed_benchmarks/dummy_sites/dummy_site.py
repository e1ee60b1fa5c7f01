# SPDX-License-Identifier: Apache-2.0
"""A site without data and without training: it answers every task of the wire benchmark in the product's own form.

Requests come in and replies go out by the product's executor and filter. Only the worker behind them is replaced, and
with it what takes hours: in place of training, every tensor of the light network gets a normal draw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nvflare.apis.fl_context import FLContext
from torch import Tensor

from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.updates import Shapes, shapes_of
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.task_progress import ProgressCallback, no_progress
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build
from dsfedmed.federated.site.tasks.round_parts import round_header
from dsfedmed.federated.site.tasks.synthetic import open_set
from dsfedmed.federated.site.worker_process import WorkerProcess
from dsfedmed.federated.wire.message import Envelope, Message, open_request, reply_message
from dsfedmed.federated.wire.requests.generator import BranchReply, BranchRequest, MasksReply, MasksRequest
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.tasks import AUDIT, BRANCH, MASKS, TRAIN, task_named
from dsfedmed.flare.executor import SiteExecutor
from dsfedmed.flare.site_folder import local_folder, site_folder
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.seeds import derive_seed, generator
from dsfedmed_benchmarks.dummy_sites.random_set import random_labels
from dsfedmed_benchmarks.paper_scale.shapes import branch_shapes

STEP, DECAY = 1e-3, 0.98
"""Deviation of the first round's update, and what remains of it from one round to the next."""


class DummyWorker(WorkerProcess):
    """Does the tasks in NVFlare's own process of the site."""

    def __init__(self, site: str, local: Path, folder: Path) -> None:
        super().__init__(site, local, folder, threads=1)
        self._site = SiteContext(site, load_party_config(local, site), folder)
        self._shapes: Shapes = {}
        self._functions: dict[str, Callable[[Envelope[Any]], Envelope[Any]]] = {
            BRANCH.name: self._branch,
            MASKS.name: self._masks,
            AUDIT.name: self._audit,
            TRAIN.name: self._train,
        }

    def run(
        self,
        task: str,
        request: Message,
        aborted: Callable[[], bool],  # noqa: ARG002 (the base's)
        on_progress: ProgressCallback = no_progress,  # noqa: ARG002
    ) -> Message:
        """Do one task."""
        return reply_message(self._functions[task](open_request(task_named(task), request)))

    def _branch(self, request: Envelope[BranchRequest]) -> Envelope[BranchReply]:
        """Random numbers in the shapes of the branch, in half precision as it travels."""
        weights = self._draw(branch_shapes(request.body.generator), STEP, "branch")
        return Envelope(BranchReply(0.0), pack(weights, "fp16", self.site))

    def _masks(self, request: Envelope[MasksRequest]) -> Envelope[MasksReply]:
        common = request.body.common
        size, _ = self._site.bundle(common.light).image_size
        labels = random_labels(request.body.count, size, derive_seed(0, self.site))
        return Envelope(MasksReply("deformed"), pack_label_maps(labels, common.num_classes))

    def _audit(self, request: Envelope[AuditRequest]) -> Envelope[AuditReply]:
        """Verify the set that was pulled, as the product does, and veto nothing."""
        manifest = request.body.files.manifest
        open_set(self._site, manifest, None)
        distances = torch.linspace(0.0, 1.0, manifest.count)
        return Envelope(AuditReply(0.0), {"vetoed": torch.zeros(0, dtype=torch.int64), "distances": distances})

    def _train(self, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
        body, facts = request.body, request.body.round
        if not self._shapes:
            network = build(self._site, NetworkSpecs(body.common.light, body.teacher), body.network)
            self._shapes = shapes_of(trained_tensors(network))
        resolve_weights(facts, request.tensors, self.folder, self._shapes)
        if facts.epochs == 0:
            return Envelope(TrainReply(facts.round, 0.5))
        update = self._draw(self._shapes, STEP * DECAY**facts.round, facts.round)
        reply = TrainReply(facts.round, 0.5, loss=0.1, steps=1)
        return Envelope(reply, update, True, round_header(facts, reply, body.common.precision))

    def _draw(self, shapes: Shapes, deviation: float, *parts: str | int) -> dict[str, Tensor]:
        draws = generator(derive_seed(0, self.site, *parts))
        return {name: torch.empty(shape).normal_(0.0, deviation, generator=draws) for name, shape in shapes.items()}


class DummySite(SiteExecutor):
    """The product's executor with a `DummyWorker`."""

    def _worker(self, fl_ctx: FLContext) -> WorkerProcess:
        if self._child is None:
            self._child = DummyWorker(fl_ctx.get_identity_name(), local_folder(fl_ctx), site_folder(fl_ctx))
        return self._child
