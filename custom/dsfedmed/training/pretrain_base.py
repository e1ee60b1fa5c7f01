# SPDX-License-Identifier: Apache-2.0
"""Train the generator's embedded base on public images, before any federation: nobody's hospital is asked for it.

The loop is that of a site (`dsfedmed.generator.fit`), in one go; each image is drawn in one of its looks
(`dsfedmed.generator.looks`). Labels are not read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from monai.transforms import Compose, Resized
from torch import Tensor

from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.arrays import load_images
from dsfedmed.data.datalist import load_datalist
from dsfedmed.devices import on_device
from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.fit import OnStep, fit_base_from
from dsfedmed.generator.looks import LookBank
from dsfedmed.generator.networks.embedded import build_base, codec_of
from dsfedmed.seeds import derive_seed
from dsfedmed.training.base_training import BaseTraining


def load_public_images(paths: Sequence[Path], config: GeneratorConfig) -> dict[str, Tensor]:
    """Return the training images of site folders, labelled or not, by folder: uint8 (N, C, S, S) of ``config``'s size.

    Raises:
        ConfigError: two folders have the same name.
        DataError: naming a folder without training images, or a file that cannot be read.
    """
    size = (config.image_size, config.image_size)
    load = LoadSiteImaged(keys=("image",), channels=config.channels)
    resize = Resized(keys=("image",), spatial_size=size, mode="bilinear", anti_aliasing=True)
    found: dict[str, Tensor] = {}
    for path in paths:
        datalist = load_datalist(path)
        if datalist.name in found:
            raise ConfigError(path, f"is called {datalist.name}, as another folder is", "Name each folder once")
        images = load_images(datalist, "training", Compose([load, resize]))
        found[datalist.name] = images.mul(255).round().clamp(0, 255).to(torch.uint8)
    return found


def pretrain_base(
    images: Tensor, config: GeneratorConfig, training: BaseTraining, on_step: OnStep | None = None
) -> tuple[UNet2DConditionModel, float]:
    """Train a new embedded base; return it, on the CPU, and the mean loss.

    Args:
        images: uint8 (N, C, S, S) of the generator's size and channels.
        config: the generator; its learning rate, batch size and flips are those of a site's fit.
        training: how long, and where.
        on_step: called after each step with its number (from 1) and its loss.

    Raises:
        DSFedMedError: the loss is not finite, with the step named.
    """
    network = on_device(build_base(config, derive_seed(training.seed, "pretrain base", "weights")), training.device)
    bank = LookBank(images, codec_of(config), config.flip_axes, derive_seed(training.seed, "pretrain base", "looks"))
    seed = derive_seed(training.seed, "pretrain base")
    loss = fit_base_from(network, bank, config, paced_rates(config, training), seed, on_step)
    return on_device(network, "cpu"), loss


def paced_rates(config: GeneratorConfig, training: BaseTraining) -> Iterator[float]:
    """Yield each step's learning rate: linear warm-up, half a cosine to zero, by the clock where that is sooner."""
    started, peak = time.monotonic(), config.base_learning_rate
    warmup = min(config.warmup_steps, training.steps // 2)
    for step in range(training.steps):
        done = share_done(step, time.monotonic() - started, training)
        if done >= 1:
            return
        yield peak * min((step + 1) / (warmup + 1), 1.0) * (1 + math.cos(math.pi * done)) / 2


def share_done(step: int, seconds: float, training: BaseTraining) -> float:
    """Return the share of the training that is over after so many steps and seconds: by steps, or by the clock."""
    by_clock = 0.0 if training.minutes is None else seconds / (60 * training.minutes)
    return max(step / training.steps, by_clock)
