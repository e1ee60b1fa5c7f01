# SPDX-License-Identifier: Apache-2.0
"""One round of DSFedMed at the paper's size, stage by stage, each ready to run and doing what the federation does.

The number of images is small; the sizes of networks and images are real (`dsfedmed_benchmarks.paper_scale.parts`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor, nn

from dsfedmed.data.labels import to_channels
from dsfedmed.devices import on_device
from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.updates import decode, feed_back, shapes_of
from dsfedmed.generator.audit import MINIMUM_HELD_OUT, audit
from dsfedmed.generator.fit import MaskedImages, fit_branch
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.sample import sample
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.distillation.soft_labels import SoftLabelOptions, teacher_soft_labels
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.precision import Autocast
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed.training.teacher.adapt import adapt_on_pool
from dsfedmed.training.teacher.config import TeacherConfig
from dsfedmed_benchmarks.paper_scale import parts

STEPS = 2


@dataclass(frozen=True)
class CheckOptions:
    """What is run, and where.

    Attributes:
        device: torch device; empty for a GPU where there is one, else the CPU.
        scale: "full" (SD 1.5 at 512 px, SAM ViT-B and TinySAM at 1024 px) or "tiny" (the same classes, for tests).
        batch_size: images a step.
        images: images in the site's set and in the synthetic set.
        precision: number format of the server's passes and of the generator.
        passes: how often each stage runs; the first also sets up the device's kernels.
        bundles: folder of the light networks' bundles.
        seed: of weights, images and order.
    """

    device: str = ""
    scale: Literal["full", "tiny"] = "full"
    batch_size: int = 2
    images: int = 4
    precision: Autocast = "bfloat16"
    passes: int = 2
    bundles: Path = Path("bundles")
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first number that is below 1."""
        for name in ("batch_size", "images", "passes"):
            require(getattr(self, name) >= 1, f"gpu-check.{name}", "it is below 1", "Give 1 or more")

    @property
    def torch_device(self) -> torch.device:
        """The device by its whole name."""
        if self.device:
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Work:
    """One stage, ready to run.

    Attributes:
        text: what it does, for the table.
        images: images that one run handles; 0 where images are not what it handles.
        run: does it.
    """

    text: str
    images: int
    run: Callable[[], object]


@dataclass
class Round:
    """What the stages hand on to each other."""

    options: CheckOptions
    folder: Path
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the site's images and set up what every stage needs."""
        self.scale = parts.SCALES[self.options.scale]
        self.device = self.options.torch_device
        self.config = parts.generator_config(self.scale, self.options.precision, self.options.batch_size)
        self.real = self._random_pool(self.scale.image_size, self.options.images)
        self.synthetic = self.real
        self.generator: tuple[GeneratorBase, ControlNetModel] | None = None
        self.bundle = parts.light_bundle(self.scale, self.options.bundles)

    def fit_branch(self) -> Work:
        """A site fits its low-rank ControlNet beside the frozen Stable Diffusion."""
        base = parts.generator_base(self.scale, self.config, self.device, self.options.seed)
        branch = on_device(build_branch(base, self.config, self.options.seed), self.device)
        self.generator = base, branch
        count = sum(tensor.numel() for tensor in branch_state(branch).values())
        self.facts["branch"] = f"A site's branch sends {count:,} numbers, {2 * count / 1e6:.1f} MB in float16."
        every = list(range(len(self.real)))
        pairs = MaskedImages(self.real.images(every), to_channels(self.real.labels(every), 1, True))
        batch = self.options.batch_size
        return Work(
            f"{STEPS} steps of {batch}, latents of {len(every)} images",
            STEPS * batch,
            lambda: fit_branch(base, branch, pairs, self.config, STEPS, self.options.seed),
        )

    def synthesise(self) -> Work:
        """The server draws images under masks."""
        assert self.generator is not None
        base, branch = self.generator
        labels = self.real.labels(list(range(len(self.real))))
        masks = to_channels(labels, 1, True)

        def run() -> None:
            images = sample(base, branch, masks, self.config, self.options.seed)
            self.synthetic = TensorPool(images, labels)

        passes = f"{self.config.sampler}, {self.config.sampler_steps} steps, guidance {self.config.guidance}"
        return Work(f"{len(masks)} images of {self.scale.image_size} px, {passes}", len(masks), run)

    def audit(self) -> Work:
        """A site looks for copies of its images in the synthetic set; the generator is let go."""
        self.generator = None
        held_out = self._random_pool(self.scale.image_size, MINIMUM_HELD_OUT).image_tensor
        own, made = self.real.image_tensor, self.synthetic.image_tensor
        return Work(f"{len(made)} images against {len(own)}", len(made), lambda: audit(made, own, held_out))

    def adapt_decoder(self) -> Work:
        """SAM learns the synthetic set: mask decoder only."""
        return self._adapt("decoder")

    def adapt_lora(self) -> Work:
        """SAM learns the synthetic set: decoder, and low-rank updates of the encoder."""
        return self._adapt("lora")

    def adapt_full(self) -> Work:
        """SAM learns the synthetic set: every parameter, blocks recomputed."""
        return self._adapt("full")

    def embed(self) -> Work:
        """The frozen encoder sees every image once."""
        teacher, pool, options = self._teacher(), self.synthetic, self.options
        passes = itertools.count()  # a key of its own for each pass, or the second would find the first one's file

        def run() -> None:
            name = f"pass {next(passes)}"
            self.embeddings = open_embeddings(
                self.folder, teacher, pool, name, options.batch_size, precision=options.precision
            )

        self.teacher = teacher
        return Work(f"{len(pool)} images at {self.scale.teacher_size} px", len(pool), run)

    def distil(self) -> Work:
        """Score the pool, then teach decoder and light network on the learnable half."""
        light = parts.light_network(self.bundle, self.device, self.options.seed)
        server = ServerDistillationConfig(
            batch_size=self.options.batch_size,
            score_batch_size=self.options.batch_size,
            autocast=self.options.precision,
        )
        distiller = MutualDistiller(self.teacher, light, self.synthetic, self.embeddings, 1, True, server=server)
        count = len(self.synthetic)
        return Work(f"one epoch over {count} samples", count, lambda: distiller.run(1, self.options.seed))

    def soft_labels(self) -> Work:
        """The teacher's probabilities, averaged over flips."""
        pool, half = self.synthetic, self.scale.image_size // 2
        options = SoftLabelOptions(half, flips=True, batch_size=self.options.batch_size)
        chosen = list(range(0, len(pool), 2))
        return Work(
            f"{len(chosen)} images, four flips each",
            len(chosen),
            lambda: teacher_soft_labels(self.teacher, pool, chosen, options),
        )

    def local_round(self) -> Work:
        """A site trains the light network on its images, as one round of FedAvg."""
        self.light = network = parts.light_network(self.bundle, self.device, self.options.seed)
        self.start = {name: tensor.clone() for name, tensor in trained_tensors(network).items()}
        optimizer = self.bundle.optimizer(network.parameters())
        pool = self._random_pool(self.scale.light_size, self.options.images)
        real = LabelledImages(pool.images(list(range(len(pool)))), pool.label_tensor)
        task = TrainingTask(
            1, True, self.bundle.loss(), self.bundle.augmentation(), self.options.batch_size, self.options.precision
        )

        def run() -> None:
            train_light(network, optimizer, real, task, LocalTraining(epochs=1), self.options.seed)

        size, precision = self.scale.light_size, self.options.precision
        return Work(f"one epoch over {len(pool)} images of {size} px, autocast {precision}", len(pool), run)

    def pack_update(self) -> Work:
        """The round's difference in eight bits, and back, as it goes over the wire."""
        change = difference(trained_tensors(self.light), self.start)

        def run() -> None:
            encoded, _ = feed_back(change, {}, "int8", "gpu-check")
            size = sum(tensor.numel() * tensor.element_size() for tensor in encoded.tensors.values())
            decode(encoded.tensors, shapes_of(change), "int8", encoded.layout, "gpu-check")
            self.facts["update"] = f"An update of the light network sends {size / 1e6:.1f} MB in eight bits."

        return Work(f"{sum(t.numel() for t in change.values()):,} numbers there and back", 0, run)

    def infer_light(self) -> Work:
        """The deployed network, one image at a time."""
        return self._infer(self.light, self.scale.light_size)

    def infer_teacher(self) -> Work:
        """SAM, one image at a time."""
        return self._infer(self.teacher, self.scale.teacher_size)

    def _adapt(self, tune: Literal["decoder", "lora", "full"]) -> Work:
        options = self.options
        config = TeacherConfig(
            epochs=1, batch_size=options.batch_size, tune=tune, autocast=options.precision, checkpoint_blocks=True
        )
        teacher, count = self._teacher(), len(self.synthetic)
        text = f"one epoch over {count} images at {self.scale.teacher_size} px"
        return Work(text, count, lambda: adapt_on_pool(teacher, self.synthetic, config, options.seed))

    def _infer(self, network: nn.Module, size: int) -> Work:
        pool = self._random_pool(size, self.options.images)
        network.eval()

        @torch.inference_mode()
        def run() -> None:
            for index in range(len(pool)):
                network(pool.images([index]).to(self.device)).cpu()

        return Work(f"{len(pool)} images of {size} px, batch 1, float32", len(pool), run)

    def _teacher(self) -> PromptlessSam:
        return parts.teacher(self.scale, self.device, self.options.seed)

    def _random_pool(self, size: int, count: int) -> TensorPool:
        """Return noise images with a disc of twice their brightness, and the discs as label maps."""
        random = generator(derive_seed(self.options.seed, "pool", size, count))
        images = torch.randint(0, 128, (count, 3, size, size), generator=random, dtype=torch.uint8)
        y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        centres = torch.rand(count, 2, 1, 1, generator=random) * size / 2 + size / 4
        disc: Tensor = ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2 < (size / 5) ** 2)[:, None]
        return TensorPool(torch.where(disc, images * 2, images), disc.to(torch.uint8))


STAGES: tuple[tuple[str, Callable[[Round], Work]], ...] = (
    ("fit branch", Round.fit_branch),
    ("synthesise", Round.synthesise),
    ("audit", Round.audit),
    ("adapt teacher, decoder", Round.adapt_decoder),
    ("adapt teacher, LoRA", Round.adapt_lora),
    ("adapt teacher, full", Round.adapt_full),
    ("embeddings", Round.embed),
    ("distil", Round.distil),
    ("soft labels", Round.soft_labels),
    ("local round", Round.local_round),
    ("pack update", Round.pack_update),
    ("infer, light network", Round.infer_light),
    ("infer, teacher", Round.infer_teacher),
)
