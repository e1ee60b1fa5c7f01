# SPDX-License-Identifier: Apache-2.0
"""Pre-training of the teacher: augmentation, schedule, learning, replay and the command."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.cli.models import pretrain_teacher
from dsfedmed.errors import ConfigError, DataError, StoreError
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.training.teacher import pretrain as pretraining
from dsfedmed.training.teacher.pretrain import (
    Folder,
    PretrainConfig,
    Progress,
    held_out_dice,
    load_folders,
    pretrain,
    pretrain_loss,
    schedule,
)


def site(folder: Path, count: int = 6, validation: int = 2) -> Path:
    """Bright squares on a dark ground; the labels hold the values 1 and 2."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    random = np.random.default_rng(0)
    names = []
    for index in range(count + validation):
        x, y = random.integers(4, 20, 2)
        label = np.zeros((40, 48), np.uint8)
        label[y : y + 16, x : x + 18] = 1 + index % 2
        image = np.clip(60 + 150 * (label > 0) + random.normal(0, 8, label.shape), 0, 255).astype(np.uint8)
        Image.fromarray(np.stack([image] * 3, -1)).save(folder / "images" / f"{index}.png")
        Image.fromarray(label).save(folder / "labels" / f"{index}.png")
        names.append({"image": f"images/{index}.png", "label": f"labels/{index}.png"})
    document = {"name": folder.name, "labels": {"0": "background", "1": "a", "2": "b"},
                "training": names[:count], "validation": names[count:]}  # fmt: skip
    (folder / "datalist.json").write_text(json.dumps(document))
    return folder


def test_schedule_rises_then_falls_to_zero() -> None:
    assert schedule(0.05, 0.1) == pytest.approx(0.5)
    assert schedule(0.1, 0.1) == pytest.approx(1.0)
    assert schedule(0.55, 0.1) == pytest.approx(0.5)
    assert schedule(1.0, 0.1) == pytest.approx(0.0)


def test_any_label_above_zero_is_foreground_and_validation_is_held_out(tmp_path: Path) -> None:
    (folder,) = load_folders([site(tmp_path / "shapes")], 32)
    assert (folder.name, folder.images.shape, folder.held_out_images.shape) == (
        "shapes", (6, 3, 40, 40), (2, 3, 40, 40),
    )  # fmt: skip
    assert folder.images.dtype == folder.masks.dtype == torch.uint8
    assert torch.unique(folder.masks).tolist() == [0, 1]
    assert all(mask.float().mean() > 0.1 for mask in folder.masks)


def test_pretraining_learns_and_replays(tmp_path: Path) -> None:
    folders = load_folders([site(tmp_path / "shapes", count=12)], 32)
    config = PretrainConfig(variant="tiny", image_size=32, steps=120, batch_size=8, learning_rate=3e-3)
    reports: list[tuple[int, float]] = []
    _, result = pretrain(folders, config, lambda p: reports.append((p.step, p.seconds_left)))
    assert result.steps == 120
    assert result.dice > 0.6
    assert result.dice_by_folder == {"shapes": pytest.approx(result.dice)}
    assert [step for step, _ in reports] == list(range(1, 121))
    assert reports[-1][1] == pytest.approx(0.0)
    pretrain(folders, replace(config, minutes=1e-6), lambda p: reports.append((p.step, p.seconds_left)))
    assert reports[-1] == (1, 0.0), "the one step outlasts the limit, and no time is left, not less"
    short = PretrainConfig(variant="tiny", image_size=32, steps=4, batch_size=4)
    first, again = pretrain(folders, short)[0].state_dict(), pretrain(folders, short)[0].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())


def test_an_interrupted_run_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = load_folders([site(tmp_path / "shapes")], 32)
    config = PretrainConfig(variant="tiny", image_size=32, steps=7, batch_size=2)
    whole, whole_result = pretrain(folders, config)
    monkeypatch.setattr(pretraining, "KEEP_EVERY", 2)
    monkeypatch.setattr(pretrain_teacher, "_Printer", lambda: _Interrupt(5))
    with pytest.raises(KeyboardInterrupt):
        pretrain_teacher.resumable(folders, config, tmp_path / "kept")
    monkeypatch.undo()
    resumed, result = pretrain_teacher.resumable(folders, config, tmp_path / "kept")
    assert "resuming at step 5" in capsys.readouterr().out
    assert result.steps == 7
    assert result.loss == whole_result.loss
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.state_dict().items())
    with pytest.raises(StoreError, match="another configuration"):
        pretrain_teacher.resumable(folders, replace(config, seed=1), tmp_path / "kept")


class _Interrupt:
    """Ctrl-C after a step."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, progress: Progress) -> None:
        if progress.step == self.after:
            raise KeyboardInterrupt


def test_held_out_dice_by_hand() -> None:
    class Half(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = torch.full_like(images, -1.0)
            logits[..., :16, :] = 1.0
            return logits

    masks = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    masks[0, :, :16] = 1  # Dice 1
    masks[1] = 1  # Dice 2 * 512 / (512 + 1024) = 2/3; the third is empty: 0
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    folder = Folder("f", images, masks, images, masks)
    found = held_out_dice(Half(), folder, PretrainConfig(image_size=32))  # type: ignore[arg-type]
    assert found == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_the_clock_ends_the_run(tmp_path: Path) -> None:
    folders = load_folders([site(tmp_path / "shapes")], 32)
    config = PretrainConfig(variant="tiny", image_size=32, steps=1_000_000, batch_size=2, minutes=0.01)
    _, result = pretrain(folders, config)
    assert 0 < result.steps < 1000
    assert math.isfinite(result.loss)


def test_command_writes_weights_and_how_they_were_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(site(tmp_path / name)) for name in ("one", "two")]
    parser = argparse.ArgumentParser()
    pretrain_teacher.configure(parser)
    out = tmp_path / "out" / "teacher.safetensors"
    arguments = ["--data", *folders, "--out", str(out), "--variant", "tiny", "--image-size", "32", "--steps", "3"]
    assert pretrain_teacher.run(parser.parse_args([*arguments, "--batch-size", "2", "--float32"])) == 0
    printed = capsys.readouterr().out
    assert "step 3/3" in printed
    assert "left" in printed
    report = load_weights(build_promptless_sam("tiny", 32, 1), out)
    assert not report.missing
    document = json.loads(out.with_suffix(".json").read_text())
    assert document["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert document["data"]["one"] == {"training": 6, "held_out": 2}
    assert document["steps"] == 3
    assert 0.0 <= document["held_out_dice"] <= 1.0
    assert str(tmp_path) not in json.dumps(document)
    several = load_weights(build_promptless_sam("tiny", 32, 2), out, allow_head_change=True)
    assert len(several.dropped) == 2


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch_size": -1}, {"learning_rate": 0.0}, {"minutes": 0.0}])
def test_senseless_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="not positive"):
        PretrainConfig(**change)  # type: ignore[arg-type]


def test_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        load_folders([], 32)
    with pytest.raises(DataError, match="validation part is empty"):
        load_folders([site(tmp_path / "s", validation=0)], 32)


def test_the_loss_leaves_ignored_pixels_out_by_hand() -> None:
    """Probabilities 1/2, 3/4, 1/2: BCE is the mean of log 2, log 4/3, log 2; Dice has overlap 5/4, sizes 7/4, 2."""
    logits = torch.tensor([[[[0.0, math.log(3)], [-math.log(3), 0.0]]]], requires_grad=True)
    masks = torch.tensor([[[[1.0, 1.0], [255.0, 0.0]]]])
    value = pretrain_loss(logits, masks)
    expected = (2 * math.log(2) + math.log(4 / 3)) / 3 + 1 - 3.5 / 4.75
    assert float(value.detach()) == pytest.approx(expected, rel=1e-6)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient == 0).flatten().tolist() == [False, False, True, False]
    known = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert torch.equal(pretrain_loss(logits, known), pretraining.LOSS(logits, known))


def test_folders_keep_ignored_pixels_and_the_score_leaves_them_out(tmp_path: Path) -> None:
    label = np.zeros((16, 16), np.uint8)
    label[:8], label[:, :4] = 3, 9
    for name in ("a", "b"):
        Image.fromarray(label).save(tmp_path / f"{name}-label.png")
        Image.fromarray(label * 20).save(tmp_path / f"{name}.png")
    items = [{"image": f"{name}.png", "label": f"{name}-label.png"} for name in ("a", "b")]
    classes = {"0": "background", "1": "a", "2": "b", "3": "c"}
    document = {"name": "public", "labels": classes, "training": items[:1], "validation": items[1:]}
    (tmp_path / "datalist.json").write_text(json.dumps({**document, "mask": {"ignore": 9}}))
    (folder,) = load_folders([tmp_path], 16)
    for masks in (folder.masks, folder.held_out_masks):
        assert masks.unique().tolist() == [0, 1, 255]
    config, network = PretrainConfig(variant="tiny", image_size=16), build_promptless_sam("tiny", 16, 1, seed=0)
    nothing = replace(folder, held_out_masks=torch.full_like(folder.held_out_masks, 255))
    with pytest.raises(DataError, match="public: every pixel"):
        held_out_dice(network, nothing, config)
