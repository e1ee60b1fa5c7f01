# SPDX-License-Identifier: Apache-2.0
"""A site without data and without training: it answers every task of the wire benchmark in the product's own form.

Requests come in and replies go out by the product's executor and filter. Only the worker behind them is replaced, and
with it what takes hours: in place of training, every tensor of the light network gets a normal draw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from dsfedmed.federated.site.child import ChildProcess
from nvflare.apis.fl_context import FLContext
from torch import Tensor

from dsfedmed.data.manifest import Manifest
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.task_progress import OnProgress, ignore_progress
from dsfedmed.federated.site.tasks.networks import build
from dsfedmed.federated.site.tasks.synthetic import open_set
from dsfedmed.federated.site.uplink import UPDATE, announce
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare.executor import SiteExecutor
from dsfedmed.flare.site_folder import local_folder, site_folder
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.seeds import derive_seed, generator
from dsfedmed_benchmarks.dummy_sites.random_set import random_labels

STEP, DECAY = 1e-3, 0.98
"""Deviation of the first round's update, and what remains of it from one round to the next."""


class DummyWorker(ChildProcess):
    """Does the tasks in NVFlare's own process of the site."""

    def __init__(self, site: str, local: Path, folder: Path) -> None:
        super().__init__(site, local, folder, threads=1)
        self._site = SiteContext(site, load_party_config(local, site), folder)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._tasks = {
            "dsf_branch": self._branch,
            "dsf_masks": self._masks,
            "dsf_audit": self._audit,
            "dsf_train": self._train,
        }

    def run(
        self,
        task: str,
        request: Message,
        aborted: Callable[[], bool],  # noqa: ARG002 (the base's)
        on_progress: OnProgress = ignore_progress,  # noqa: ARG002
    ) -> Message:
        """Do one task."""
        return self._tasks[task](request)

    def _branch(self, request: Message) -> Message:
        """Random numbers in the shapes that the request names, in half precision as a branch travels."""
        shapes: dict[str, tuple[int, ...]] = request.info["shapes"]
        weights = self._draw(shapes, STEP, "branch")
        return Message({"loss": 0.0}, pack(weights, "fp16", self.site))

    def _masks(self, request: Message) -> Message:
        labels = random_labels(request.info["count"], request.info["image_size"], derive_seed(0, self.site))
        return Message({"kind": "deformed"}, pack_label_maps(labels, request.info["num_classes"]))

    def _audit(self, request: Message) -> Message:
        """Verify the set that was pulled, as the product does, and veto nothing."""
        manifest = request.info["files"]["manifest"]
        open_set(self._site, manifest, None)
        distances = torch.linspace(0.0, 1.0, Manifest.from_dict(manifest).count)
        return Message({"threshold": 0.0}, {"vetoed": torch.zeros(0, dtype=torch.int64), "distances": distances})

    def _train(self, request: Message) -> Message:
        info = request.info
        if not self._shapes:
            self._shapes = shapes_of(trained_tensors(build(self._site, info, info["network"])))
        resolve_weights(request, self.folder, self._shapes)
        answer = {"round": info["round"], "validation": 0.5}
        if info["epochs"] == 0:
            return Message(answer)
        update = self._draw(self._shapes, STEP * DECAY ** info["round"], info["round"])
        tracked = {f"{info['arm']}/loss": 0.1, f"{info['arm']}/validation_dice": 0.5}
        facts = {"weight": 1, "loss": 0.1, "steps": 1, "scalars": tracked, UPDATE: announce(info)}
        return Message({**answer, **facts}, update, True)

    def _draw(self, shapes: dict[str, tuple[int, ...]], deviation: float, *parts: str | int) -> dict[str, Tensor]:
        draws = generator(derive_seed(0, self.site, *parts))
        return {
            name: torch.empty(tuple(shape)).normal_(0.0, deviation, generator=draws) for name, shape in shapes.items()
        }


class DummySite(SiteExecutor):
    """The product's executor with a `DummyWorker`."""

    def _worker(self, fl_ctx: FLContext) -> ChildProcess:
        if self._child is None:
            self._child = DummyWorker(fl_ctx.get_identity_name(), local_folder(fl_ctx), site_folder(fl_ctx))
        return self._child
