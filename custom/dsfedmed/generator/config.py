# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the generator: base, branch, fitting and sampling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from dsfedmed.errors import ConfigError
from dsfedmed.options import read_options

SAMPLERS = ("ddim", "unipc", "ddpm")
PREDICTION_TYPES = ("sample", "v_prediction", "epsilon")


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """One generator, wholly described; the defaults are the embedded recipe for 64 px grey images on a CPU core.

    Attributes:
        image_size: side of the square images, in pixels.
        channels: image channels, 1 (grey) or 3 (RGB).
        num_classes: mask channels K.
        unshuffle: pixels per latent position along each axis (a power of two); latents are image_size / unshuffle.
        image_mean: mean grey value, in [0, 1], of the images of all sites together, roughly.
        image_deviation: their standard deviation; diffusion wants latents near unit variance.
        block_out_channels: channels of the UNet levels, shallow to deep; each level after the first halves the latents.
        layers_per_block: residual blocks per level of the encoder (the decoder has one more).
        attention_levels: how many of the deepest levels carry self-attention.
        attention_head_channels: channels per attention head.
        norm_groups: groups of the group normalisation; divides every entry of ``block_out_channels``.
        train_timesteps: diffusion steps T of the training schedule.
        prediction_type: what the network predicts: "sample" (the clean latents), "v_prediction" or "epsilon". A small
            network that sees patches learns "sample" fastest (arXiv 2511.13720); the others leave noise behind.
        zero_terminal_snr: rescale the schedule so that step T is pure noise (arXiv 2305.08891); not with "epsilon".
        snr_clamp: the loss is that of v-prediction, with 1 + signal-to-noise ratio clamped to this; above 1.
        batch_size: images per gradient step.
        base_learning_rate: peak learning rate of AdamW for the base.
        branch_learning_rate: peak learning rate of AdamW for the branch.
        warmup_steps: steps over which each call of a fit raises the learning rate linearly from zero.
        max_gradient_norm: gradients are scaled down to this norm.
        flip_axes: spatial axes (0 is x: left-right as displayed, 1 is y) flipped at random while fitting. The default
            leaves y alone because depth has a direction in ultrasound.
        mask_dropout: probability in [0, 1) of blanking a mask while fitting the branch (classifier-free guidance).
        guidance: classifier-free guidance scale against the blank mask; 1 is off and costs half of any other value. On
            breast ultrasound 1.25 gives lesions the contrast of real ones (-0.129 to -0.131), 1 less, 1.5 more.
        sampler: "ddim", "unipc" or "ddpm".
        sampler_steps: network evaluations per image (twice as many with guidance).

    Raises:
        ConfigError: a value is out of range or two values do not fit together.
    """

    image_size: int = 64
    channels: int = 1
    num_classes: int = 1
    unshuffle: int = 4
    image_mean: float = 0.3
    image_deviation: float = 0.2
    block_out_channels: tuple[int, ...] = (48, 96, 96)
    layers_per_block: int = 1
    attention_levels: int = 1
    attention_head_channels: int = 32
    norm_groups: int = 8
    train_timesteps: int = 1000
    prediction_type: str = "sample"
    zero_terminal_snr: bool = True
    snr_clamp: float = 20.0
    batch_size: int = 16
    base_learning_rate: float = 1e-3
    branch_learning_rate: float = 1e-3
    warmup_steps: int = 10
    max_gradient_norm: float = 1.0
    flip_axes: tuple[int, ...] = (0,)
    mask_dropout: float = 0.1
    guidance: float = 1.25
    sampler: str = "unipc"
    sampler_steps: int = 10

    def __post_init__(self) -> None:
        """Normalise lists (as JSON gives them) to tuples, then check every value."""
        for name in ("block_out_channels", "flip_axes"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_ranges(self)
        _check_shapes(self)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.channels * self.unshuffle**2

    @property
    def latent_size(self) -> int:
        """Side of the latents."""
        return self.image_size // self.unshuffle

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values (tuples as lists)."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """Build from a mapping; a key that is no field raises ConfigError naming it and the nearest valid ones."""
        return read_options(cls, values, "generator")


def _require(condition: bool, name: str, value: object, mend: str) -> None:
    if not condition:
        raise ConfigError(f"generator.{name}", f"{value!r} is not usable", mend)


def _check_ranges(config: GeneratorConfig) -> None:
    """Check each field on its own: kind first, so that a string from a file is named and not compared."""
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        wanted = (int, float) if kind is float else kind
        right = isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))
        _require(right, field.name, value, f"Give a value of type {kind.__name__}.")
    for name in ("block_out_channels", "flip_axes"):
        value = getattr(config, name)
        _require(all(type(item) is int for item in value), name, value, "Give a list of whole numbers.")
    positive = (
        "image_size",
        "num_classes",
        "unshuffle",
        "layers_per_block",
        "attention_head_channels",
        "norm_groups",
        "image_deviation",
        "batch_size",
        "base_learning_rate",
        "branch_learning_rate",
        "max_gradient_norm",
        "sampler_steps",
    )
    for name in positive:
        value = getattr(config, name)
        _require(math.isfinite(value) and value > 0, name, value, "Give a finite number above 0.")
    for name in ("warmup_steps", "attention_levels", "guidance"):
        value = getattr(config, name)
        _require(math.isfinite(value) and value >= 0, name, value, "Give a finite number, 0 or above.")
    _require(config.channels in (1, 3), "channels", config.channels, "Give 1 or 3.")
    _require(0 <= config.image_mean <= 1, "image_mean", config.image_mean, "Give a grey value in [0, 1].")
    _require(config.snr_clamp > 1, "snr_clamp", config.snr_clamp, "Give a number above 1.")
    _require(config.train_timesteps >= 2, "train_timesteps", config.train_timesteps, "Give 2 or more.")
    _require(0 <= config.mask_dropout < 1, "mask_dropout", config.mask_dropout, "Give a probability below 1.")
    _require(set(config.flip_axes) <= {0, 1}, "flip_axes", config.flip_axes, "Give a list out of 0 and 1.")
    _require(config.sampler in SAMPLERS, "sampler", config.sampler, f"Give one of {', '.join(SAMPLERS)}.")
    known = config.prediction_type in PREDICTION_TYPES
    _require(known, "prediction_type", config.prediction_type, f"Give one of {', '.join(PREDICTION_TYPES)}.")


def _check_shapes(config: GeneratorConfig) -> None:
    """Check the fields against each other."""
    levels = config.block_out_channels
    _require(len(levels) > 0 and min(levels) > 0, "block_out_channels", levels, "Give one positive number per level.")
    power = config.unshuffle & (config.unshuffle - 1) == 0
    _require(power, "unshuffle", config.unshuffle, "Give a power of two.")
    step = config.unshuffle * 2 ** (len(levels) - 1)
    _require(config.image_size % step == 0, "image_size", config.image_size, f"Give a multiple of {step}.")
    divides = all(width % config.norm_groups == 0 for width in levels)
    _require(divides, "norm_groups", config.norm_groups, f"Give a divisor of every level of {levels}.")
    fits = config.attention_levels <= len(levels)
    _require(fits, "attention_levels", config.attention_levels, f"Give at most {len(levels)}.")
    attended = levels[len(levels) - config.attention_levels :]
    heads = all(width % config.attention_head_channels == 0 for width in attended)
    _require(heads, "attention_head_channels", config.attention_head_channels, f"Give a divisor of {attended}.")
    sampler_fits = config.sampler_steps <= config.train_timesteps
    _require(sampler_fits, "sampler_steps", config.sampler_steps, "Give at most train_timesteps.")
    learnable = config.prediction_type != "epsilon" or not config.zero_terminal_snr
    _require(
        learnable,
        "zero_terminal_snr",
        True,
        "Epsilon says nothing without signal: use false.",
    )
