# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed prepare-teacher`: from a checkpoint to a bundle that passes every check, or a refusal; and check-bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dsfedmed.cli.main import main
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam

BUNDLE = Path(__file__).parents[2] / "bundles" / "promptless_sam_segmentation"


def test_own_weights_become_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = build_promptless_sam("tiny", 32, 1, seed=3).state_dict()
    save_weights(state, tmp_path / "own.safetensors")
    given = ["--checkpoint", str(tmp_path / "own.safetensors"), "--own-weights", "--variant", "tiny"]
    given += ["--image-size", "32", "--classes", "disc", "cup", "--bundle", str(BUNDLE)]
    assert main(["prepare-teacher", *given, "--out", str(tmp_path / "teacher")]) == 0
    assert "mask_decoder.seg1.weight" in capsys.readouterr().out
    metadata = json.loads((tmp_path / "teacher/configs/metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["2"] == "cup"
    assert "weights of own.safetensors" in metadata["changelog"]["1.0.0"]
    saved = torch.load(tmp_path / "teacher/models/model.pt", weights_only=True)
    assert torch.equal(saved["image_encoder.pos_embed"], state["image_encoder.pos_embed"])
    assert "Not measured yet." in (tmp_path / "teacher/docs/README.md").read_text()
    assert main(["check-bundle", "--weights", str(tmp_path / "teacher")]) == 0
    assert "FAILED" not in capsys.readouterr().out


def test_a_file_that_is_not_the_official_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "teacher"), "--bundle", str(BUNDLE)]
    assert main(["prepare-teacher", "--checkpoint", str(tmp_path / "sam_vit_b_01ec64.pth"), *out]) == 2
    missing = capsys.readouterr().err
    assert "no such file" in missing
    assert "Apache-2.0" in missing
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"short")
    assert main(["prepare-teacher", "--checkpoint", str(tmp_path / "sam_vit_b_01ec64.pth"), *out]) == 2
    assert "has 5 bytes" in capsys.readouterr().err
    assert not (tmp_path / "teacher").exists()


def test_check_bundle_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy_segmentation"
    shutil.copytree(BUNDLE, copy)
    (copy / "scripts.py").write_text("")
    assert main(["check-bundle", str(copy)]) == 1
    assert "scripts.py is code" in capsys.readouterr().out
    assert main(["check-bundle", str(tmp_path / "none")]) == 1
    assert "is not a folder" in capsys.readouterr().out
