# SPDX-License-Identifier: Apache-2.0
"""SAM's and TinySAM's stems for other than one and three channels: inflated weights, saved and loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import load_weights, save_weights
from dsfedmed.networks.light_weights import load_light_weights
from dsfedmed.networks.personal_sam import build_personal_sam
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.stem_channels import inflated, stem_channels
from dsfedmed.networks.tiny_sam import TinySam

STEMS = {"tiny": "image_encoder.patch_embed.proj.weight", "wide": "image_encoder.patch_embed.proj.0.weight"}


def test_weights_are_inflated_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert inflated(weight, 2).flatten().tolist() == [4.5, 4.5]
    assert inflated(weight, 4).flatten().tolist() == [2.25] * 4


def test_channels_of_the_stem() -> None:
    assert [stem_channels(count, "x") for count in (1, 2, 3, 16)] == [3, 2, 3, 16]
    for count in (0, 17):
        with pytest.raises(ConfigError, match=f"in_channels is {count}"):
            stem_channels(count, "x")


@pytest.mark.parametrize("variant", STEMS)
def test_a_teacher_for_rgb_becomes_one_of_four_channels(variant: str, tmp_path: Path) -> None:
    source, target = build_promptless_sam(variant, 32, 1, seed=1), build_promptless_sam(variant, 32, 1, in_channels=4)
    save_weights(source.state_dict(), tmp_path / "rgb.safetensors")
    with pytest.raises(CheckpointError, match="another architecture"):
        load_weights(target, tmp_path / "rgb.safetensors")
    report = load_weights(target, tmp_path / "rgb.safetensors", allow_channels=True)
    assert report.inflated == (STEMS[variant],)
    assert "inflated from RGB" in report.summary()
    grey = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        answer = target(grey.expand(-1, 4, -1, -1))
        torch.testing.assert_close(answer, source(grey), rtol=1e-4, atol=1e-4)
    save_weights(target.state_dict(), tmp_path / "four.safetensors")
    again = build_promptless_sam(variant, 32, 1, in_channels=4, seed=5)
    assert load_weights(again, tmp_path / "four.safetensors").inflated == ()
    with torch.no_grad():
        assert torch.equal(again(grey.expand(-1, 4, -1, -1)), answer)


def test_a_random_start_of_three_channels_is_what_it_was_and_of_two_its_own() -> None:
    three, named = build_promptless_sam("tiny", 32, 1), build_promptless_sam("tiny", 32, 1, in_channels=1)
    assert all(torch.equal(a, b) for a, b in zip(three.parameters(), named.parameters(), strict=True))
    two = build_promptless_sam("tiny", 32, 1, in_channels=2, normalise=True)
    assert two.pixel_mean.shape == (1, 2, 1, 1)
    assert two(torch.rand(1, 2, 32, 32)).shape == (1, 1, 32, 32)
    with pytest.raises(ValueError, match="images \\(N, 2, H, W\\)"):
        two(torch.rand(1, 3, 32, 32))


def test_tiny_sam_takes_weights_for_rgb(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = TinySam(32).eval(), TinySam(32, in_channels=5).eval()
    save_weights(source.state_dict(), tmp_path / "rgb.safetensors")
    report = load_light_weights(target, tmp_path / "rgb.safetensors")
    assert report.inflated == ("image_encoder.trunk.patch_embed.conv1.conv.weight",)
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(target(grey.expand(-1, 5, -1, -1)), source(grey), rtol=1e-3, atol=1e-3)


def test_a_personal_branch_of_two_channels_answers() -> None:
    network: nn.Module = build_personal_sam(
        "tiny", 32, 1, rank=2, alpha=2.0, layers=["qkv"], experts=2, top_k=1, in_channels=2
    )
    assert network(torch.rand(1, 2, 32, 32)).shape == (1, 1, 32, 32)
