# SPDX-License-Identifier: Apache-2.0
"""Where the teacher starts: official files by path, another image size, low-rank updates; and what it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import CheckpointError
from dsfedmed.federated.server.stages.teacher import adapt_teacher, start_teacher, with_low_rank
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.lora import is_lora
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.promptless_sam.positions import resize_absolute
from dsfedmed.networks.promptless_sam.variants import VARIANTS, SamVariant
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.settings import Settings
from tests.federated.tiny import FakeRun, sealed_set, tiny_plan, tiny_settings

PLAIN_VIT = SamVariant(
    32, 2, 2, (1,), window_size=2, prompt_dim=16, mlp_dim=24, quality_dim=16, decoder_heads=2, mask_in_chans=4
)


def run_with(folder: Path, teacher: Path | None, settings: Settings) -> Any:
    run: Any = FakeRun(folder, settings, lambda *_: None)
    run.config = replace(run.config, teacher=teacher)
    return run


def test_weights_of_another_image_size_is_resampled_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "plain", PLAIN_VIT)
    given = build_promptless_sam("plain", 128, 1, seed=5)
    torch.nn.init.normal_(given.image_encoder.pos_embed)
    file = tmp_path / "weights.safetensors"
    save_weights({k: v for k, v in given.state_dict().items() if "seg1" not in k}, file)
    settings = tiny_settings(teacher_variant="plain", teacher_image_size=64)
    teacher, origin = start_teacher(run_with(tmp_path, file, settings), tiny_plan(settings))
    assert "3 of them resampled to this image size: image_encoder.pos_embed" in origin
    assert "2 not in the file: mask_decoder.seg1" in origin
    torch.testing.assert_close(
        teacher.image_encoder.pos_embed, resize_absolute(given.image_encoder.pos_embed, 4), msg="pos_embed"
    )


def test_a_missing_official_checkpoint_names_file_licence_and_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, "vit_l", PLAIN_VIT)  # so that no full-size network is built
    settings = tiny_settings(teacher_variant="vit_l")
    run = run_with(tmp_path, tmp_path / "none.pth", settings)
    with pytest.raises(
        CheckpointError, match=r"none\.pth: no such file; sam_vit_l_0b3195\.pth .*Apache-2\.0.*Download"
    ):
        start_teacher(run, tiny_plan(settings))
    (tmp_path / "sam_vit_l_0b3195.pth").write_bytes(b"half a download")
    run = run_with(tmp_path, tmp_path / "sam_vit_l_0b3195.pth", settings)
    with pytest.raises(CheckpointError, match=r"has 15 bytes, so it is not sam_vit_l_0b3195\.pth"):
        start_teacher(run, tiny_plan(settings))


def test_without_a_file_it_starts_at_random_and_says_so(tmp_path: Path) -> None:
    settings = tiny_settings()
    teacher, origin = start_teacher(run_with(tmp_path, None, settings), tiny_plan(settings))
    assert origin == "random start: no `teacher` file is set for the server"
    same = tiny_plan(settings).teacher_network().state_dict()
    assert all(torch.equal(same[name], tensor) for name, tensor in teacher.state_dict().items())


def test_low_rank_updates_are_the_run_s_own(tmp_path: Path) -> None:
    """Rank, scale and layers are the settings', the start is the run's seed's, and nothing else learns but the head."""
    plan = tiny_plan(tiny_settings(teacher={"lora_rank": 3, "lora_targets": "qkv, lin1"}))
    first, second = (copied_tensors(with_low_rank(plan, plan.teacher_network())) for _ in range(2))
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())
    updates = {name: tensor for name, tensor in first.items() if is_lora(name)}
    assert updates
    assert {tensor.shape[0] for name, tensor in updates.items() if "lora_A" in name} == {3}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in updates} == {"qkv", "lin1"}


def test_it_learns_the_sealed_set_once(tmp_path: Path) -> None:
    settings = tiny_settings(teacher={"epochs": 2})
    run, plan = run_with(tmp_path, None, settings), tiny_plan(settings)
    adapted = adapt_teacher(run, plan, sealed_set(tmp_path))
    start = plan.teacher_network().state_dict()
    assert adapted.keys() == start.keys()
    assert any(not torch.equal(adapted[name], tensor) for name, tensor in start.items())
    told = run.record.data["teacher"]
    assert "random start" in told["teacher_weights"]
    assert len(told["losses"]) == 2
    assert [(tag, step) for tag, _, step in run.tracked] == [("teacher/adaptation_loss", n) for n in (1, 2)]
    again = run_with(tmp_path, None, settings)
    repeated = adapt_teacher(again, plan, sealed_set(tmp_path))
    assert again.tracked == [], "a finished stage is not done again"
    assert all(torch.equal(repeated[name], tensor) for name, tensor in adapted.items())
    assert again.record.data["teacher"] == told
