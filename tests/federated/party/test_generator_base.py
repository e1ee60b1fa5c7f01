# SPDX-License-Identifier: Apache-2.0
"""The generator's frozen part at a party: what came over the wire, or its own folder, which must be the server's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.generator_base import (
    CACHE,
    check_generator_base,
    generator_base_sha256,
    load_generator_base,
    shapes_only,
)
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.embedded import build_base
from tests.generator.sd_folders import make_tiny_folder

EMBEDDED = GeneratorConfig(
    image_size=32, block_out_channels=(16, 32), norm_groups=8, attention_head_channels=16
)  # fmt: skip
STABLE_DIFFUSION = replace(EMBEDDED, base="stable_diffusion", prompt="a scan", lora_rank=2, zero_rank=2)


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> PartyConfig:
    return PartyConfig(generator=make_tiny_folder(tmp_path_factory.mktemp("sd") / "tiny"))


def test_the_embedded_base_is_what_came_over_the_wire() -> None:
    sent = build_base(EMBEDDED, 7).state_dict()
    found: Any = load_generator_base(EMBEDDED, PartyConfig(), sent)
    state = found.unet.state_dict()
    assert state.keys() == sent.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in sent.items())
    with pytest.raises(RuntimeError, match="Missing key"):
        load_generator_base(EMBEDDED, PartyConfig(), {})


def test_a_stable_diffusion_is_the_partys_own_folder(party: PartyConfig) -> None:
    found: Any = load_generator_base(STABLE_DIFFUSION, party, {})
    assert sum(parameter.numel() for parameter in found.unet.parameters()) > 0
    assert not [parameter for parameter in found.unet.parameters() if parameter.requires_grad]
    with pytest.raises(ConfigError, match="`generator` is not set"):
        load_generator_base(STABLE_DIFFUSION, PartyConfig(), {})


@pytest.mark.parametrize("config", [EMBEDDED, STABLE_DIFFUSION], ids=["embedded", "stable diffusion"])
def test_shapes_take_no_memory_and_are_those_of_the_weights(config: GeneratorConfig, party: PartyConfig) -> None:
    shapes: Any = shapes_only(config, party)
    assert {parameter.device.type for parameter in shapes.unet.parameters()} == {"meta"}
    whole: Any = load_generator_base(config, party, build_base(EMBEDDED).state_dict())
    assert {name: tensor.shape for name, tensor in shapes.unet.state_dict().items()} == {
        name: tensor.shape for name, tensor in whole.unet.state_dict().items()
    }


def test_the_hash_is_that_of_the_folder_and_remembered(party: PartyConfig, tmp_path: Path) -> None:
    assert generator_base_sha256(EMBEDDED, PartyConfig(), tmp_path) is None
    assert not (tmp_path / CACHE).exists()
    found = generator_base_sha256(STABLE_DIFFUSION, party, tmp_path)
    assert found is not None
    assert len(found) == 64
    assert (tmp_path / CACHE).is_file()
    assert generator_base_sha256(STABLE_DIFFUSION, party, tmp_path) == found
    other = make_tiny_folder(tmp_path / "other", seed=1)
    assert generator_base_sha256(STABLE_DIFFUSION, replace(party, generator=other), tmp_path / "own") != found


def test_another_folder_than_the_servers_is_refused_without_its_path(party: PartyConfig, tmp_path: Path) -> None:
    announced = generator_base_sha256(STABLE_DIFFUSION, party, tmp_path)
    check_generator_base(announced, STABLE_DIFFUSION, party, tmp_path, "site_a")
    check_generator_base(None, EMBEDDED, PartyConfig(), tmp_path, "site_a")
    for wrong in ("0" * 64, None):
        with pytest.raises(ConfigError, match="site_a: its Stable Diffusion is another than the server's") as caught:
            check_generator_base(wrong, STABLE_DIFFUSION, party, tmp_path, "site_a")
        assert str(party.generator) not in str(caught.value)
    with pytest.raises(ConfigError, match="another than the server's"):
        check_generator_base(announced, EMBEDDED, PartyConfig(), tmp_path, "site_a")
