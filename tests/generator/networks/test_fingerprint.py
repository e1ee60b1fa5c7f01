# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from dsfedmed.generator.networks import fingerprint
from dsfedmed.generator.networks.fingerprint import folder_sha256
from dsfedmed.store.files import read_json


@pytest.fixture
def copy(sd_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd_folder, tmp_path / "copy")


def test_copies_agree_whatever_library_wrote_their_configurations(sd_folder: Path, copy: Path, tmp_path: Path) -> None:
    path = copy / "unet" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "_diffusers_version": "0.6.0", "_name_or_path": "elsewhere"}, indent=4))
    (copy / "README.md").write_text("not looked at")
    assert folder_sha256(copy, tmp_path / "a.json") == folder_sha256(sd_folder, tmp_path / "b.json")


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
    ],
)
def test_one_changed_number_changes_the_hash(sd_folder: Path, copy: Path, tmp_path: Path, part: str, file: str) -> None:
    tensors = load_file(copy / part / file)
    name = next(iter(tensors))
    tensors[name].view(-1)[0] += 1
    save_file(tensors, copy / part / file, metadata={"format": "pt"})
    assert folder_sha256(copy, tmp_path / "a.json") != folder_sha256(sd_folder, tmp_path / "b.json")


def test_another_schedule_or_word_changes_the_hash(sd_folder: Path, copy: Path, tmp_path: Path) -> None:
    original = folder_sha256(sd_folder, tmp_path / "b.json")
    path = copy / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace("epsilon", "v_prediction").replace("0.012", "0.013"))
    changed = folder_sha256(copy, tmp_path / "a.json")
    (copy / "tokenizer" / "merges.txt").write_text("#version: 0.2\na b\n")
    assert len({original, changed, folder_sha256(copy, tmp_path / "a.json")}) == 3


def test_hash_is_remembered_until_a_file_changes(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "own" / "foundation.json"
    before = set(copy.rglob("*"))
    first = folder_sha256(copy, cache)
    assert read_json(cache)["sha256"] == first
    read: list[Path] = []
    monkeypatch.setattr(fingerprint, "file_sha256", lambda path: read.append(path) or "0")
    assert folder_sha256(copy, cache) == first
    assert not read
    os.utime(copy / "vae" / "diffusion_pytorch_model.safetensors", ns=(1, 1))
    assert folder_sha256(copy, cache) != first
    assert read
    assert set(copy.rglob("*")) == before, "nothing is written into the folder"


def test_damaged_memory_is_made_anew(copy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "foundation.json"
    first = folder_sha256(copy, cache)
    cache.write_text("{")
    assert folder_sha256(copy, cache) == first
    assert read_json(cache)["sha256"] == first
