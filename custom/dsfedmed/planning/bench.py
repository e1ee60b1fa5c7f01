# SPDX-License-Identifier: Apache-2.0
"""The product's own loops at a run's sizes, a few steps of each, made ready to be timed (`calibration`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch.nn import functional

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import on_device
from dsfedmed.evaluation.protocol import ForwardPass, evaluate, quick_dice
from dsfedmed.generator.audit import audit
from dsfedmed.generator.fit import FitSteps, MaskedImages, fit_base, fit_branch
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.generator.sample import sample
from dsfedmed.planning.sizes import Networks
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed.training.teacher.adapt import adapt_on_pool

NOISE = 32
"""Images of noise."""
STEPS = 2
"""Steps that are timed, of each kind."""
SAMPLED, READ = 4, 4
"""Images drawn, and images of the site that are read and scored."""
AUDIT_SIDE = 64
"""Side at which a site looks at images when it audits, in pixels."""
AUDITED, HELD_OUT = 24, 8
"""Training and held-out images of noise of the audit; with 200 each image costs twice as much."""
Timed = Callable[[], int]
"""Does some work and returns how many pieces of it there were."""


class Bench:
    """Networks and noise; each method prepares one kind of work and returns what does it.

    Args:
        networks: of the run.
        datalist: of a site with training images, some of which are read and scored.
        device: where networks are.
        seed: of noise, order and augmentation.
        folder: for the teacher's embeddings.
    """

    def __init__(
        self, networks: Networks, datalist: SiteDatalist, device: torch.device, seed: int, folder: Path
    ) -> None:
        self.networks, self.device, self.seed, self.folder = networks, device, seed, folder
        self.settings, self.facts = networks.settings, networks.facts
        few = datalist.parts["training"][:READ]
        self.few = replace(datalist, parts={**datalist.parts, "training": few})
        draws = generator(derive_seed(seed, "plan"))
        size = self.settings.image_size
        self.images = torch.rand(NOISE, self.facts.channels, size, size, generator=draws)
        coarse = torch.rand(NOISE, 1, 8, 8, generator=draws)
        blobs = functional.interpolate(coarse, size=(size, size), mode="bilinear") > 0.5
        self.labels = blobs.to(torch.uint8)
        self.levels = (self.images * 255).round().to(torch.uint8)
        self.channels = to_channels(self.labels, self.facts.num_classes, self.facts.nested)
        self.light = on_device(networks.light_network(), device)
        light = self.settings.light
        self.task = TrainingTask(
            self.facts.num_classes, self.facts.nested, networks.light_bundle.loss(), None, light.batch_size,
            light.autocast, where="plan",
        )  # fmt: skip

    def all(self) -> dict[str, Callable[[], Timed]]:
        """Return what prepares the work of every kind."""
        return {
            "read": self._read,
            "infer": self._infer,
            "score": self._score,
            "light_step": self._light_step,
            "plain_step": self._plain_step,
            "base_step": self._base_step,
            "branch_step": self._branch_step,
            "sample": self._sample,
            "audit": self._audit,
            "teacher_step": self._teacher_step,
            "embed": self._embed,
            "distil": self._distil,
        }

    def _read(self) -> Timed:
        preprocessing = self._preprocessing()
        return lambda: len(load_part(self.few, "training", preprocessing))

    def _score(self) -> Timed:
        forward, preprocessing = ForwardPass(self.facts.num_classes, 16, self.device), self._preprocessing()
        return lambda: len(evaluate(self.light, self.few, "training", preprocessing, forward))

    def _infer(self) -> Timed:
        arrays = SiteArrays(self.images, self.labels, ("",) * NOISE)
        forward = ForwardPass(self.facts.num_classes, NOISE, self.device)

        def work() -> int:
            quick_dice(self.light, arrays, forward, self.facts.nested)
            return NOISE

        return work

    def _light_step(self) -> Timed:
        optimizer = self.networks.light_bundle.optimizer(self.light.parameters())
        task = replace(self.task, augmentation=self.networks.light_bundle.augmentation())
        real, training = LabelledImages(self.images, self.labels), LocalTraining(steps=STEPS)
        return lambda: train_light(self.light, optimizer, real, task, training, self.seed).steps

    def _plain_step(self) -> Timed:
        optimizer = torch.optim.Adam(self.light.parameters(), lr=1e-4)
        source, pace = SyntheticSource(self.levels, self.labels, None, 1.0, 0.0), HeadStart(STEPS, 1e-4)

        def work() -> int:
            train_on_synthetic(self.light, optimizer, source, self.task, pace, self.seed)
            return STEPS

        return work

    def _base_step(self) -> Timed:
        base = on_device(build_base(self.networks.generator), self.device)

        def work() -> int:
            fit_base(base, self.images, self.networks.generator, FitSteps(STEPS), self.seed)
            return STEPS

        return work

    def _generator(self) -> tuple[GeneratorBase, ControlNetModel]:
        config = self.networks.generator
        base = embedded_base(on_device(build_base(config), self.device), config)
        return base, on_device(build_branch(base, config), self.device)

    def _branch_step(self) -> Timed:
        (base, branch), pairs = self._generator(), MaskedImages(self.images, self.channels)

        def work() -> int:
            fit_branch(base, branch, pairs, self.networks.generator, STEPS, self.seed)
            return STEPS

        return work

    def _sample(self) -> Timed:
        base, branch = self._generator()
        config = replace(self.networks.generator, sample_batch=SAMPLED)
        return lambda: len(sample(base, branch, self.channels[:SAMPLED], config, self.seed))

    def _audit(self) -> Timed:
        draws = generator(derive_seed(self.seed, "audit"))
        shape = (self.facts.channels, AUDIT_SIDE, AUDIT_SIDE)
        training, held_out = (torch.rand(count, *shape, generator=draws) for count in (AUDITED, HELD_OUT))

        def work() -> int:
            audit(held_out.flip(0), training, held_out)
            return AUDITED + 2 * HELD_OUT

        return work

    def _teacher_step(self) -> Timed:
        config = replace(self.settings.teacher, epochs=1)
        chosen = torch.arange(STEPS * config.batch_size) % NOISE
        teacher = on_device(self.networks.teacher_network(), self.device)
        pool = TensorPool(self.levels[chosen], self.labels[chosen])
        return lambda: adapt_on_pool(teacher, pool, config, self.seed, self.facts.nested)[0].steps

    def _embed(self) -> Timed:
        teacher = on_device(self.networks.teacher_network(), self.device).eval()

        def work() -> int:
            with torch.no_grad():
                teacher(self.images.to(self.device)).sum().item()
            return NOISE

        return work

    def _distil(self) -> Timed:
        teacher = on_device(self.networks.teacher_network(), self.device)
        pool, server = TensorPool(self.levels, self.labels), self.settings.server_distillation
        embeddings = open_embeddings(self.folder, teacher, pool, "plan", precision=server.autocast)
        distiller = MutualDistiller(
            teacher, self.light, pool, embeddings, self.facts.num_classes, self.facts.nested,
            self.settings.distillation, server,
        )  # fmt: skip

        def work() -> int:
            distiller.run(1, self.seed)
            return NOISE

        return work

    def _preprocessing(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return self.networks.light_bundle.preprocessing()
