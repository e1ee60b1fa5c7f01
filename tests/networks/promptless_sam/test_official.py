# SPDX-License-Identifier: Apache-2.0
"""Official SAM checkpoints: a small file in their own format, the table of published files, and the full-size keys."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import KeyReport, load_weights
from dsfedmed.networks.lora import is_lora, lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.networks.promptless_sam import official as official_sam
from dsfedmed.networks.promptless_sam.official import OFFICIAL, OfficialCheckpoint, check_official
from dsfedmed.networks.promptless_sam.variants import VARIANTS, SamVariant

MINI = SamVariant(32, 3, 2, (1, 2), window_size=3, prompt_dim=16, mlp_dim=24, quality_dim=16, decoder_heads=2, mask_in_chans=4)  # fmt: skip  # noqa: E501
SIZE = 128
CLASS_HEAD = {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}


@pytest.fixture(autouse=True)
def mini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "mini", MINI)


@pytest.fixture(scope="module")
def sam() -> Sam:
    """segment-anything's own class at small sizes, every tensor drawn, position tables included."""
    torch.manual_seed(0)
    grid = SIZE // 16
    network = Sam(
        ImageEncoderViT(
            img_size=SIZE, embed_dim=32, depth=3, num_heads=2, out_chans=16, use_rel_pos=True, window_size=3,
            global_attn_indexes=(1, 2), norm_layer=partial(nn.LayerNorm, eps=1e-6),
        ),
        PromptEncoder(16, (grid, grid), (SIZE, SIZE), mask_in_chans=4),
        MaskDecoder(
            transformer_dim=16,
            transformer=TwoWayTransformer(depth=2, embedding_dim=16, num_heads=2, mlp_dim=24),
            iou_head_hidden_dim=16,
        ),
    )  # fmt: skip
    for name, parameter in network.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=0.2)
    return network.eval()


@pytest.fixture(scope="module")
def file(sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "sam_mini.pth"
    torch.save(sam.state_dict(), path)
    return path


def loaded(file: Path, size: int, classes: int = 1) -> tuple[PromptlessSam, KeyReport]:
    network = build_promptless_sam("mini", size, classes, seed=7).eval()
    return network, load_weights(network, file, allow_head_change=True, allow_resize=True)


@torch.no_grad()
def official_masks(sam: Sam, embeddings: torch.Tensor) -> torch.Tensor:
    none = torch.empty(len(embeddings), 0, 16)
    masks, _ = sam.mask_decoder.predict_masks(
        embeddings, sam.prompt_encoder.get_dense_pe(), none, torch.zeros_like(embeddings)
    )
    return masks


@torch.no_grad()
def test_at_its_own_size_it_is_segment_anything_without_prompts(sam: Sam, file: Path) -> None:
    network, report = loaded(file, SIZE)
    images = torch.rand(1, 3, SIZE, SIZE)
    embeddings = network.encode(images)
    torch.testing.assert_close(embeddings, sam.image_encoder(images), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.decode(embeddings), official_masks(sam, embeddings)[:, :1], rtol=1e-4, atol=1e-5)
    assert report.resized == ()
    assert set(report.loaded) == set(sam.state_dict())
    assert set(report.missing) == CLASS_HEAD
    assert report.unexpected == report.dropped == ()


@torch.no_grad()
@pytest.mark.parametrize("size", [64, 192])
def test_at_another_size_it_is_segment_anything_with_its_grid_resampled(sam: Sam, file: Path, size: int) -> None:
    network, report = loaded(file, size, classes=2)
    images = torch.rand(1, 3, size, size)
    own_grid, sam.image_encoder.pos_embed = sam.image_encoder.pos_embed, network.image_encoder.pos_embed
    try:  # segment-anything resamples its relative tables at each forward; only the absolute one is fixed
        torch.testing.assert_close(network.encode(images), sam.image_encoder(images), rtol=1e-4, atol=1e-5)
    finally:
        sam.image_encoder.pos_embed = own_grid
    tables = {f"image_encoder.blocks.{block}.attn.rel_pos_{axis}" for block in (1, 2) for axis in "hw"}
    assert set(report.resized) == tables | {"image_encoder.pos_embed"}
    assert "5 of them resampled to this image size" in report.summary()


def test_another_size_needs_a_word(file: Path) -> None:
    network = build_promptless_sam("mini", 64, 1)
    with pytest.raises(CheckpointError, match=r"pos_embed is \(1, 8, 8, 32\) there.*allow_resize"):
        load_weights(network, file, allow_head_change=True)


def test_the_report_names_what_is_held_but_never_run(file: Path) -> None:
    network, report = loaded(file, SIZE, classes=2)
    network(torch.rand(1, 3, SIZE, SIZE)).square().sum().backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert unused == set(report.idle)
    parts = {name.split(".")[1] for name in unused}
    assert parts == {
        "point_embeddings", "not_a_point_embed", "mask_downscaling", "no_mask_embed", "iou_prediction_head"
    }  # fmt: skip
    assert "of them held but not run" in report.summary()


@pytest.mark.parametrize(
    ("variant", "encoder", "total"),
    [
        ("vit_b", 89_670_912, 93_735_477),
        ("vit_l", 308_278_272, 312_342_837),
        ("vit_h", 637_026_048, 641_090_613),
    ],
)
def test_full_size_keys_shapes_and_counts_without_memory(variant: str, encoder: int, total: int) -> None:
    with torch.device("meta"):
        official = sam_model_registry[variant]()
        own, two = build_promptless_sam(variant, 1024, 1), build_promptless_sam(variant, 1024, 2)
    shapes = {key: value.shape for key, value in own.state_dict().items()}
    assert set(shapes) - set(official.state_dict()) == CLASS_HEAD
    assert {k: s for k, s in shapes.items() if k not in CLASS_HEAD} == {
        k: v.shape for k, v in official.state_dict().items()
    }
    assert sum(p.numel() for p in own.image_encoder.parameters()) == encoder
    assert sum(p.numel() for p in own.parameters()) == total
    assert sum(p.numel() for p in official.parameters()) == total - 5
    assert sum(p.numel() for p in two.parameters()) == total + 5
    assert all(parameter.is_meta for parameter in own.parameters())


@pytest.mark.parametrize("variant", ["vit_b", "vit_l", "vit_h"])
def test_full_size_forward_and_backward_without_memory(variant: str) -> None:
    blocks = VARIANTS[variant].depth
    with torch.device("meta"):
        network = build_promptless_sam(variant, 1024, 2)
        assert network.encode(torch.empty(2, 1, 512, 512)).shape == (2, 256, 64, 64)
        assert network.decode(torch.empty(2, 256, 64, 64)).shape == (2, 2, 256, 256)
        network.checkpoint_blocks(True)
        with lora(network, 4, 4.0):
            logits = network(torch.empty(1, 3, 512, 384))
            logits.sum().backward()
            reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert logits.shape == (1, 2, 512, 384)
    assert sum(is_lora(name) for name in reached) == 2 * blocks
    assert {name.split(".")[0] for name in reached if not is_lora(name)} == {"mask_decoder"}


@pytest.mark.parametrize("size", [256, 512, 1536])
def test_only_position_tables_depend_on_the_image_size(size: int) -> None:
    with torch.device("meta"):
        official = sam_model_registry["vit_b"]().state_dict()
        own = build_promptless_sam("vit_b", size, 1).state_dict()
    other = {key for key, value in official.items() if own[key].shape != value.shape}
    tables = {f"image_encoder.blocks.{block}.attn.rel_pos_{axis}" for block in (2, 5, 8, 11) for axis in "hw"}
    assert other == tables | {"image_encoder.pos_embed"}


def test_the_tables_names_carry_the_start_of_an_md5_and_are_published_ones() -> None:
    assert {entry.file_name for entry in OFFICIAL.values()} == {
        "sam_vit_b_01ec64.pth", "sam_vit_l_0b3195.pth", "sam_vit_h_4b8939.pth"
    }  # fmt: skip
    for entry in OFFICIAL.values():
        with torch.device("meta"):
            state = sam_model_registry[entry.variant]().state_dict()
        payload = 4 * sum(value.numel() for value in state.values())
        assert 0 < entry.size_bytes - payload < 1e-3 * payload  # float32 tensors and a little zip around them
        assert len(bytes.fromhex(entry.sha256)) == 32


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A table whose ViT-B file is eleven bytes long."""
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"eleven byte")
    digest = hashlib.sha256(b"eleven byte").hexdigest()
    monkeypatch.setitem(official_sam.OFFICIAL, "vit_b", OfficialCheckpoint("vit_b", path.name, 11, digest))
    return path


def test_the_published_file_is_known(published: Path) -> None:
    assert check_official(published, "vit_b").file_name == "sam_vit_b_01ec64.pth"


def test_an_altered_file_is_refused_by_its_hash(published: Path) -> None:
    published.write_bytes(b"eleven bytE")
    with pytest.raises(CheckpointError, match=r"SHA-256 .* instead of .*damaged or altered.*Download sam_vit_b_01ec64"):
        check_official(published, "vit_b")


def test_a_missing_file_names_path_expected_file_licence_and_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_official(tmp_path / "none.pth", "vit_l")
    for word in (str(tmp_path / "none.pth"), "sam_vit_l_0b3195.pth", "1,249,524,607", "Apache-2.0", "segment-anything"):
        assert word in str(caught.value)


def test_the_file_of_another_variant_is_told_apart(published: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has 11 bytes.*size of sam_vit_b_01ec64.pth: choose the variant vit_b"):
        check_official(published, "vit_h")


def test_small_variants_have_no_official_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'small' has no official SAM checkpoint"):
        check_official(tmp_path, "small")
