# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of MobileSAM and TinySAM: every tensor lands, what is dead is named, and the numbers come out alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor

from dsfedmed.errors import CheckpointError
from dsfedmed.networks.light_weights import load_light_weights
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.networks.tiny_sam.keys import rename
from tests.networks.tiny_sam import reference_tiny_vit as reference

HEAD = {f"image_encoder.{name}" for name in ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias")}


def reference_state(seed: int = 0) -> dict[str, Tensor]:
    """A state dict as ``mobile_sam.pt`` holds it, with random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prompts = PromptEncoder(256, (64, 64), (1024, 1024), 16)
        decoder = MaskDecoder(transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048))
    state = {f"image_encoder.{name}": value for name, value in reference.random_state(seed).items()}
    state |= {f"prompt_encoder.{name}": value for name, value in prompts.state_dict().items()}
    return state | {f"mask_decoder.{name}": value for name, value in decoder.state_dict().items()}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return reference_state()


@pytest.fixture
def checkpoint(state: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save(state, tmp_path / "mobile_sam.pt")
    return tmp_path / "mobile_sam.pt"


def parameters(state: dict[str, Tensor]) -> int:
    buffers = ("running_mean", "running_var", "num_batches_tracked", "gaussian_matrix")
    return sum(value.numel() for name, value in state.items() if not name.endswith(buffers))


def test_the_witness_counts_what_the_release_counts(state: dict[str, Tensor]) -> None:
    encoder = {name: value for name, value in state.items() if name.startswith("image_encoder.")}
    assert parameters(encoder) == 6_065_532
    assert parameters(state) + 5 == 10_130_097, "the release adds seg1, 4 weights and a bias"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("image_encoder.patch_embed.seq.2.bn.bias", "image_encoder.trunk.patch_embed.conv2.bn.bias"),
        ("image_encoder.layers.0.blocks.1.conv3.c.weight", "image_encoder.trunk.stages.0.blocks.1.conv3.conv.weight"),
        ("image_encoder.layers.2.downsample.conv2.bn.bias", "image_encoder.trunk.stages.3.downsample.conv2.bn.bias"),
        (
            "image_encoder.layers.1.blocks.0.attn.attention_biases",
            "image_encoder.trunk.stages.1.blocks.0.attn.attention_biases",
        ),
        ("image_encoder.neck.3.bias", "image_encoder.neck.3.bias"),
        ("mask_decoder.iou_token.weight", "mask_decoder.iou_token.weight"),
    ],
)  # fmt: skip
def test_names_by_hand(theirs: str, ours: str) -> None:
    assert rename(theirs) == ours


def test_every_tensor_lands_and_every_key_is_accounted_for(state: dict[str, Tensor], checkpoint: Path) -> None:
    network = TinySam(64)
    report = load_light_weights(network, checkpoint)
    own = network.state_dict()
    assert set(report.loaded) == set(own) - {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}
    assert set(report.missing) == {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}
    assert set(report.dropped) == HEAD
    assert report.unexpected == ()
    assert len(report.loaded) == len(state) - len(HEAD)
    assert all(torch.equal(own[rename(name)], value) for name, value in state.items() if name not in HEAD)
    assert "4 dropped: image_encoder.norm_head.weight" in report.summary()


@pytest.mark.parametrize("size", [64, 240])
def test_the_loaded_encoder_computes_what_the_witness_computes(
    state: dict[str, Tensor], checkpoint: Path, size: int
) -> None:
    """240 px: maps of 60, 30, 15 and 15, so that every window is padded and several stand side by side."""
    network = TinySam(size).eval()
    load_light_weights(network, checkpoint)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    encoder = {name.removeprefix("image_encoder."): value for name, value in state.items()}
    with torch.inference_mode():
        expected, found = reference.encode(encoder, images), network.encode(images)
    assert found.shape == (2, 256, size // 16, size // 16)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_index_tables_are_compared_and_dropped(state: dict[str, Tensor], tmp_path: Path) -> None:
    network = TinySam(64)
    key = "image_encoder.layers.2.blocks.3.attn.attention_bias_idxs"
    table = dict(network.named_buffers())[rename(key)]
    torch.save({**state, key: table}, tmp_path / "same.pt")
    assert key in load_light_weights(network, tmp_path / "same.pt").dropped
    torch.save({**state, key: table.flip(0)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"light_weights: .*other\.pt: .*blocks\.3.*numbers the offsets"):
        load_light_weights(network, tmp_path / "other.pt")


def test_a_checkpoint_of_another_width_is_refused_and_changes_nothing(state: dict[str, Tensor], tmp_path: Path) -> None:
    wrong = {**state, "image_encoder.neck.0.weight": torch.zeros(256, 448, 1, 1)}
    torch.save(wrong, tmp_path / "w.pt")
    network = TinySam(64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another architecture.*image_encoder\.neck\.0\.weight"):
        load_light_weights(network, tmp_path / "w.pt")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_reference_keys_do_not_open_another_network(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="another architecture"):
        load_light_weights(torch.nn.Linear(2, 2), checkpoint)
