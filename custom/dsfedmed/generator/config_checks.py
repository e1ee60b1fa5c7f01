# SPDX-License-Identifier: Apache-2.0
"""What the fields of a generator's configuration may be, each on its own and together."""

from __future__ import annotations

import dataclasses
import math

from dsfedmed.algorithms.sides import reflectable
from dsfedmed.errors import ConfigError
from dsfedmed.generator.config_fields import GeneratorFields
from dsfedmed.ranges import MOST_CHANNELS

CHOICES = {
    "base": ("embedded", "stable_diffusion"),
    "dtype": ("float32", "float16", "bfloat16"),
    "prediction_type": ("sample", "v_prediction", "epsilon"),
    "sampler": ("ddim", "unipc", "dpmsolver++", "ddpm", "lcm"),
}
POSITIVE = (
    "image_size",
    "num_classes",
    "unshuffle",
    "layers_per_block",
    "attention_head_channels",
    "norm_groups",
    "image_deviation",
    "batch_size",
    "accumulation",
    "base_learning_rate",
    "branch_learning_rate",
    "max_gradient_norm",
    "sampler_steps",
    "sample_batch",
)


def _require(condition: bool, name: str, value: object, fix: str) -> None:
    if not condition:
        raise ConfigError(f"generator_model.{name}", f"{value!r} is not usable", fix)


def check_ranges(config: GeneratorFields) -> None:
    """Check each field on its own: kind first, so that a string from a file is named and not compared."""
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        wanted = (int, float) if kind is float else kind
        right = isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))
        _require(right, field.name, value, f"Give a value of type {kind.__name__}.")
    for name in ("block_out_channels", "flip_axes"):
        value = getattr(config, name)
        _require(all(type(item) is int for item in value), name, value, "Give a list of whole numbers.")
    for name in POSITIVE:
        value = getattr(config, name)
        _require(math.isfinite(value) and value > 0, name, value, "Give a finite number above 0.")
    for name in ("warmup_steps", "attention_levels", "guidance", "lora_rank", "zero_rank"):
        value = getattr(config, name)
        _require(math.isfinite(value) and value >= 0, name, value, "Give a finite number, 0 or above.")
    channels = config.channels
    _require(1 <= channels <= MOST_CHANNELS, "channels", channels, f"Give 1 to {MOST_CHANNELS}.")
    picture = config.base != "stable_diffusion" or channels in (1, 3)
    _require(picture, "channels", channels, "Stable Diffusion draws 1 or 3 channels; use base: embedded.")
    _require(0 <= config.image_mean <= 1, "image_mean", config.image_mean, "Give a grey value in [0, 1].")
    _require(config.snr_clamp > 1, "snr_clamp", config.snr_clamp, "Give a number above 1.")
    _require(config.train_timesteps >= 2, "train_timesteps", config.train_timesteps, "Give 2 or more.")
    _require(0 <= config.mask_dropout < 1, "mask_dropout", config.mask_dropout, "Give a probability below 1.")
    axes = sorted(config.flip_axes)
    _require(axes in ([], [0], [1], [0, 1]), "flip_axes", config.flip_axes, "Give a list out of 0 and 1.")
    for name, choices in CHOICES.items():
        value = getattr(config, name)
        _require(value in choices, name, value, f"Give one of {', '.join(choices)}.")
    low_rank = config.lora_rank > 0 or config.zero_rank == 0
    _require(low_rank, "zero_rank", config.zero_rank, "Give a lora_rank above 0 too, or leave it 0.")
    few_enough = config.sampler_steps <= config.train_timesteps
    _require(few_enough, "sampler_steps", config.sampler_steps, "Give at most train_timesteps.")


def side_step(config: GeneratorFields) -> int:
    """Return what the sides of an embedded generator's images are extended to a multiple of, in pixels."""
    halvings = len(config.block_out_channels) - 1
    return config.unshuffle << halvings


def check_shapes(config: GeneratorFields) -> None:
    """Check the fields of the embedded networks against each other."""
    levels = config.block_out_channels
    _require(len(levels) > 0 and min(levels) > 0, "block_out_channels", levels, "Give one positive number per level.")
    power = config.unshuffle & (config.unshuffle - 1) == 0
    _require(power, "unshuffle", config.unshuffle, "Give a power of two.")
    step = side_step(config)
    _require(reflectable(config.image_size, step), "image_size", config.image_size, f"Give a multiple of {step}.")
    divides = all(width % config.norm_groups == 0 for width in levels)
    _require(divides, "norm_groups", config.norm_groups, f"Give a divisor of every level of {levels}.")
    fits = config.attention_levels <= len(levels)
    _require(fits, "attention_levels", config.attention_levels, f"Give at most {len(levels)}.")
    attended = levels[len(levels) - config.attention_levels :]
    heads = all(width % config.attention_head_channels == 0 for width in attended)
    _require(heads, "attention_head_channels", config.attention_head_channels, f"Give a divisor of {attended}.")
    learnable = config.prediction_type != "epsilon" or not config.zero_terminal_snr
    _require(
        learnable,
        "zero_terminal_snr",
        True,
        "Epsilon says nothing without signal: use false.",
    )
