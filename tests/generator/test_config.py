# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.generator import GeneratorConfig


def test_dictionary_round_trip_through_json() -> None:
    config = GeneratorConfig(image_size=128, unshuffle=8, flip_axes=(0, 1), sampler="unipc")
    assert GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_key_is_named_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"generator_model\.sampler_step:.*sampler_steps"):
        GeneratorConfig.from_dict({"sampler_step": 10})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 5),
        ("image_size", "64"),
        ("channels", 17),
        ("num_classes", 0),
        ("num_classes", True),
        ("unshuffle", 3),
        ("block_out_channels", ()),
        ("block_out_channels", (48, 50)),
        ("block_out_channels", 48),
        ("block_out_channels", ("48",)),
        ("attention_levels", 4),
        ("attention_head_channels", 36),
        ("prediction_type", "epsilon"),
        ("prediction_type", "x"),
        ("branch_learning_rate", float("nan")),
        ("image_deviation", 0.0),
        ("image_mean", 1.5),
        ("snr_clamp", 1.0),
        ("mask_dropout", 1.0),
        ("guidance", -1.0),
        ("flip_axes", (2,)),
        ("sampler", "euler"),
        ("sampler_steps", 1001),
        ("train_timesteps", 1),
        ("foundation", "sdxl"),
        ("dtype", "int8"),
        ("prompt", 3),
        ("lora_rank", -1),
        ("zero_rank", 4),
        ("accumulation", 0),
        ("sample_batch", 0),
        ("flip_axes", (0, 0)),
    ],
)
def test_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="generator"):
        GeneratorConfig.from_dict({name: value})


def test_latent_shape() -> None:
    config = GeneratorConfig(image_size=64, channels=3, unshuffle=4)
    assert (config.latent_channels, config.latent_size) == (48, 16)


def test_stable_diffusion_is_not_held_to_the_shapes_of_the_embedded_networks() -> None:
    values = {"image_size": 500, "block_out_channels": [48, 50], "zero_rank": 8, "lora_rank": 16}
    config = GeneratorConfig.from_dict({"base": "stable_diffusion", **values})
    assert not config.is_embedded
    with pytest.raises(ConfigError, match="generator"):
        GeneratorConfig.from_dict(values)
