# SPDX-License-Identifier: Apache-2.0
"""Ranges of a generator's configuration: what is at the edge passes, what is beyond is named."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.generator import GeneratorConfig
from dsfedmed.generator.config_checks import CHOICES, POSITIVE


@pytest.mark.parametrize("name", POSITIVE)
def test_zero_and_less_are_refused(name: str) -> None:
    kind = type(getattr(GeneratorConfig(), name))
    for value in (0, -1):
        with pytest.raises(ConfigError, match=rf"\.{name}: {kind(value)!r} is not usable"):
            GeneratorConfig(**{name: kind(value)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inside", "beyond"),
    [
        ({"image_mean": 0.0}, {"image_mean": -0.01}),
        ({"image_mean": 1.0}, {"image_mean": 1.01}),
        ({"snr_clamp": 1.01}, {"snr_clamp": 1.0}),
        ({"mask_dropout": 0.99}, {"mask_dropout": 1.0}),
        ({"guidance": 0.0}, {"guidance": -0.1}),
        ({"train_timesteps": 8}, {"train_timesteps": 7}),
        ({"train_timesteps": 2, "sampler_steps": 2}, {"train_timesteps": 1, "sampler_steps": 1}),
        ({"flip_axes": (1, 0)}, {"flip_axes": (0, 1, 1)}),
        ({"lora_rank": 1, "zero_rank": 1}, {"lora_rank": 0, "zero_rank": 1}),
        ({"image_size": 6}, {"image_size": 5}),
        ({"attention_head_channels": 16, "attention_levels": 3}, {"attention_levels": 4}),
        ({"prediction_type": "epsilon", "zero_terminal_snr": False}, {"prediction_type": "epsilon"}),
    ],
)
def test_edges_by_hand(inside: dict[str, Any], beyond: dict[str, Any]) -> None:
    GeneratorConfig(**inside)
    with pytest.raises(ConfigError, match="is not usable"):
        GeneratorConfig(**beyond)


@pytest.mark.parametrize("name", CHOICES)
def test_another_word_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Give one of {', '.join(CHOICES[name])}".replace("+", r"\+")):
        GeneratorConfig(**{name: "none"})  # type: ignore[arg-type]


def test_a_number_is_no_truth_and_a_truth_no_number() -> None:
    with pytest.raises(ConfigError, match="type bool"):
        GeneratorConfig(lora_convolutions=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="type int"):
        GeneratorConfig(image_size=True)
    assert GeneratorConfig(guidance=2).guidance == 2
