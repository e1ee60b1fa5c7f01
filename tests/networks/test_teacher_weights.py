# SPDX-License-Identifier: Apache-2.0
"""The teacher bundle's weights: what is said without a file, what loads, and which parameters learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.promptless_sam.official import OFFICIAL
from dsfedmed.networks.teacher_weights import load_teacher, start_teacher, tuned_parameters


def test_a_missing_checkpoint_names_file_licence_and_the_way_on(tmp_path: Path) -> None:
    network = build_promptless_sam("tiny", 32, 1)
    for load in (load_teacher, start_teacher):
        with pytest.raises(CheckpointError) as failure:
            load(network, tmp_path / "model.pt", "vit_b")
        text = str(failure.value)
        for part in (str(tmp_path / "model.pt"), "sam_vit_b_01ec64.pth", "Apache-2.0", "prepare-teacher", "https://"):
            assert part in text
    with pytest.raises(CheckpointError, match="pretrain-teacher"):
        load_teacher(network, tmp_path / "model.pt", "small")


def test_start_may_lack_the_class_head_and_inference_may_not(tmp_path: Path) -> None:
    state = build_promptless_sam("tiny", 32, 1, seed=5).state_dict()
    official = {key: value for key, value in state.items() if not key.startswith("mask_decoder.seg1.")}
    save_weights(official, tmp_path / "sam.pth")
    network = build_promptless_sam("tiny", 32, 2, seed=6)
    report = start_teacher(network, tmp_path / "sam.pth", "tiny")
    assert report is not None
    assert set(report.missing) == {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}
    assert torch.equal(network.state_dict()["image_encoder.neck.0.weight"], state["image_encoder.neck.0.weight"])
    with pytest.raises(CheckpointError, match="another architecture"):
        load_teacher(build_promptless_sam("tiny", 32, 2), tmp_path / "sam.pth", "tiny")
    assert start_teacher(network, "", "tiny") is None


def test_decoder_tuning_leaves_the_encoder_alone() -> None:
    network = build_promptless_sam("tiny", 32, 1)
    decoder = {id(p) for p in network.mask_decoder.parameters()}
    assert {id(p) for p in tuned_parameters(network, "decoder")} == decoder
    encoder = {id(p) for p in network.image_encoder.parameters()}
    assert {id(p) for p in tuned_parameters(network, "full")} == decoder | encoder
    with pytest.raises(ConfigError, match="'lora' is not known"):
        tuned_parameters(network, "lora")


def test_the_bundles_large_file_is_the_official_one() -> None:
    text = (Path(__file__).parents[2] / "bundles/promptless_sam_segmentation/large_files.yml").read_text()
    (entry,) = yaml.safe_load(text)["large_files"]
    official = OFFICIAL["vit_b"]
    assert Path(entry["path"]).name == official.file_name == entry["url"].rpartition("/")[2]
    assert (entry["hash_type"], entry["hash_val"]) == ("sha256", official.sha256)
