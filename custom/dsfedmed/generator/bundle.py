# SPDX-License-Identifier: Apache-2.0
"""The generator as one network, for its MONAI bundle: masks in, images out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.branch import build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.generator.sample import sample


class MaskToImage(nn.Module):
    """An embedded base with one hospital's ControlNet branch: (N, K, S, S) in {0, 1} -> (N, C, S, S) in [0, 1].

    Every image draws noise of its own: image i of this object's life from (seed, i). A new object repeats the images of
    an older one. State-dict keys are those of the base under ``base.`` and of the branch under ``branch.``.

    Args:
        settings: fields of ``GeneratorConfig``.
        seed: of the noise.

    Raises:
        ConfigError: a setting is unknown or out of range, or the generator builds on a Stable Diffusion folder, whose
            weights no bundle carries.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int = 0) -> None:
        super().__init__()
        self.config = GeneratorConfig.from_dict(dict(settings))
        if not self.config.is_embedded:
            fix = "Only the embedded generator fits into a bundle; sample with the run that has the folder."
            raise ConfigError("generator bundle", "the generator builds on a Stable Diffusion folder", fix)
        self.seed, self.drawn = seed, 0
        self.base = build_base(self.config)
        self.branch = build_branch(embedded_base(self.base, self.config), self.config)

    def forward(self, masks: Tensor) -> Tensor:
        """Return one image for each mask, float32 with 256 levels, on the masks' device."""
        generator_base = embedded_base(self.base, self.config)
        plain = masks.as_subclass(Tensor)
        images = sample(generator_base, self.branch, plain, self.config, self.seed, first_index=self.drawn)
        self.drawn += len(masks)
        return images.to(device=masks.device, dtype=torch.float32) / 255
