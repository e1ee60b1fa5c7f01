# SPDX-License-Identifier: Apache-2.0
"""Adapting the teacher: it learns, freezes what it must, replays, and stops on a loss that is not finite."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from monai.losses import DiceLoss

from dsfedmed.algorithms.losses import bce_per_sample
from dsfedmed.errors import ConfigError, DataError, DSFedMedError
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.networks.promptless_sam.image_encoder import SamImageEncoder
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.precision import Autocast
from dsfedmed.training.teacher.adapt import TeacherEpoch, adapt_on_pool, pool_dice, trainable_parameters
from dsfedmed.training.teacher.config import TeacherConfig
from tests.training.tiny_networks import SIZE, TinyTeacher, squares

QKV = "image_encoder.blocks.1.attn.qkv.weight"
FAST = TeacherConfig(epochs=6, batch_size=8, learning_rate=0.02)


def test_the_teacher_learns_and_reports_every_epoch(teacher: TinyTeacher) -> None:
    images, labels = squares(48)
    seen: list[TeacherEpoch] = []
    held_out = squares(16, seed=9)
    history = adapt_on_pool(
        teacher, TensorPool(images, labels), FAST, seed=1, on_epoch=seen.append, validation=TensorPool(*held_out)
    )
    assert seen == history
    assert [record.epoch for record in history] == list(range(6))
    assert history[-1].loss < 0.6 * history[0].loss
    assert history[-1].validation_dice is not None
    assert history[-1].validation_dice > 0.7
    assert history[0].steps == 6
    assert history[0].loss == pytest.approx(history[0].bce + history[0].dice_loss)


def test_the_first_loss_is_bce_plus_weighted_dice(teacher: TinyTeacher) -> None:
    images, labels = squares(4)
    with torch.no_grad():
        logits = teacher(images)
        target = labels.float()
        expected = bce_per_sample(logits, target, 3.0).mean() + 0.5 * DiceLoss(sigmoid=True)(logits, target)
    config = TeacherConfig(epochs=1, batch_size=4, pos_weight=3.0, dice_weight=0.5, flips=False)
    assert adapt_on_pool(teacher, TensorPool(images, labels), config, seed=0)[0].loss == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("tune", ["decoder", "full"])
def test_decoder_tuning_leaves_the_encoder_alone(teacher: TinyTeacher, tune: str) -> None:
    before = copy.deepcopy(teacher.state_dict())
    config = TeacherConfig(epochs=1, batch_size=8, tune=tune, learning_rate=0.01)  # type: ignore[arg-type]
    adapt_on_pool(teacher, TensorPool(*squares(16)), config, seed=0)
    moved = {name.split(".")[0] for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == ({"mask_decoder"} if tune == "decoder" else {"mask_decoder", "image_encoder"})


def test_the_same_seed_gives_the_same_weights(teacher: TinyTeacher) -> None:
    twin, other = copy.deepcopy(teacher), copy.deepcopy(teacher)
    for network, seed in ((teacher, 3), (twin, 3), (other, 4)):
        adapt_on_pool(network, TensorPool(*squares(16)), TeacherConfig(epochs=2, batch_size=4), seed)
    weight = "mask_decoder.1.weight"
    assert torch.equal(teacher.state_dict()[weight], twin.state_dict()[weight])
    assert not torch.equal(teacher.state_dict()[weight], other.state_dict()[weight])


def test_two_nested_classes_are_learned() -> None:
    torch.manual_seed(0)
    teacher = TinyTeacher(num_classes=2)
    images, labels = squares(32, num_classes=2)
    history = adapt_on_pool(teacher, TensorPool(images, labels), FAST, seed=1)
    assert history[-1].loss < history[0].loss


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(teacher: TinyTeacher) -> None:
    images, labels = squares(8)
    images[3] = float("nan")
    before = copy.deepcopy(teacher.state_dict())
    with pytest.raises(DSFedMedError, match="teacher: its loss is not finite"):
        adapt_on_pool(teacher, TensorPool(images, labels), TeacherConfig(epochs=1, batch_size=8), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_dice_of_the_pool_by_hand() -> None:
    labels = torch.zeros(3, 1, 1, 4, dtype=torch.uint8)
    labels[0, ..., :2] = 1
    labels[1, ..., :2] = 1
    images = torch.zeros(3, 1, 1, 4)
    images[0, ..., 1:3] = 1.0  # half overlap; sample 1 is missed; sample 2 is empty on both sides

    class Copy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch * self.scale - 1.0

    assert pool_dice(Copy(), TensorPool(images, labels), nested=True, batch_size=2) == pytest.approx((0.5 + 0 + 1) / 3)


def sam_after(config: TeacherConfig, seed: int = 1) -> tuple[PromptlessSam, list[TeacherEpoch]]:
    """Adapt a tiny promptless SAM to 16 squares; return it and its history."""
    network = build_promptless_sam("tiny", SIZE, 1, seed=2)
    return network, adapt_on_pool(network, TensorPool(*squares(16)), config, seed)


SHORT = TeacherConfig(epochs=2, batch_size=8, learning_rate=0.01)


def test_low_rank_tuning_moves_attention_and_decoder_and_leaves_sams_keys() -> None:
    start = build_promptless_sam("tiny", SIZE, 1, seed=2)
    network, history = sam_after(replace(SHORT, epochs=4, tune="lora", lora_rank=2))
    assert list(network.state_dict()) == list(start.state_dict())
    before = start.state_dict()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    encoder = {name for name in moved if name.startswith("image_encoder.")}
    assert encoder == {f"image_encoder.blocks.{block}.attn.qkv.weight" for block in (0, 1)}
    assert not any(name.startswith("prompt_encoder.") for name in moved)
    assert len(moved) > len(encoder)
    assert torch.linalg.matrix_rank(network.state_dict()[QKV] - before[QKV], atol=1e-6) == 2
    assert history[-1].loss < history[0].loss
    again, _ = sam_after(replace(SHORT, epochs=4, tune="lora", lora_rank=2))
    assert torch.equal(network.state_dict()[QKV], again.state_dict()[QKV])


def test_a_teacher_that_diverges_under_low_rank_tuning_keeps_its_weights_and_keys() -> None:
    network = build_promptless_sam("tiny", SIZE, 1, seed=2)
    before = copy.deepcopy(network.state_dict())
    images, labels = squares(8)
    images[3] = float("nan")
    with pytest.raises(DSFedMedError, match="not finite"):
        adapt_on_pool(network, TensorPool(images, labels), replace(SHORT, tune="lora"), seed=0)
    assert list(before) == list(network.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_mixed_precision_comes_close_to_float32(kind: Autocast) -> None:
    _, exact = sam_after(SHORT)
    network, history = sam_after(replace(SHORT, autocast=kind))
    assert history[-1].loss == pytest.approx(exact[-1].loss, rel=0.03)
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_recomputed_blocks_give_the_same_weights(tune: Literal["full", "lora"]) -> None:
    kept, _ = sam_after(replace(SHORT, tune=tune))
    recomputed, _ = sam_after(replace(SHORT, tune=tune, checkpoint_blocks=True))
    for name, value in recomputed.state_dict().items():
        torch.testing.assert_close(value, kept.state_dict()[name], msg=name)
    assert isinstance(recomputed.image_encoder, SamImageEncoder)
    assert not recomputed.image_encoder.checkpoint_blocks


def test_recomputing_runs_every_block_twice() -> None:
    network = build_promptless_sam("tiny", SIZE, 1, seed=2)
    runs: list[int] = []
    network.image_encoder.blocks[0].register_forward_pre_hook(lambda *_: runs.append(1))
    adapt_on_pool(network, TensorPool(*squares(8)), replace(SHORT, epochs=1, checkpoint_blocks=True), seed=0)
    assert len(runs) == 2
    with torch.no_grad():
        network(squares(1)[0])
    assert len(runs) == 3


def test_a_teacher_without_blocks_cannot_recompute_them(teacher: TinyTeacher) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.checkpoint_blocks: TinyTeacher has no such mode"):
        adapt_on_pool(teacher, TensorPool(*squares(8)), replace(SHORT, checkpoint_blocks=True), seed=0)


def test_what_lies_under_ignored_pixels_does_not_reach_the_teacher(teacher: TinyTeacher) -> None:
    """Its cells are 4 pixels wide and do not overlap: an ignored band of 4 rows feeds cells of its own."""
    images, labels = squares(8)
    labels[:, :, :8] = 255
    other = images.clone()
    other[:, :, :4] = 0.9  # up to the band's inner half, since logits are resampled across the cells' borders
    config = TeacherConfig(epochs=2, batch_size=4, learning_rate=0.02, flips=False, tune="full")
    found = []
    for given in (images, other):
        learner = copy.deepcopy(teacher)
        history = adapt_on_pool(learner, TensorPool(given, labels), config, seed=0)
        found.append((history[-1].loss, learner.state_dict()))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


def test_pool_dice_by_hand_without_ignored_pixels() -> None:
    """First: of two labelled pixels found, one is right and the other wrong. Second: nothing labelled, left out."""
    labels = torch.tensor([[[[1, 0], [255, 0]]], [[[255, 255], [255, 255]]]], dtype=torch.uint8)
    logits = torch.tensor([[[[1.0, 1.0], [1.0, -1.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    network = _Fixed(logits)
    pool = TensorPool(torch.zeros(2, 1, 2, 2), labels)
    assert pool_dice(network, pool, True) == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="every pixel"):
        pool_dice(network, TensorPool(torch.zeros(2, 1, 2, 2), torch.full_like(labels, 255)), True)


class _Fixed(torch.nn.Module):
    """Answers with the same logits, whatever the images."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def test_what_each_way_of_tuning_trains(teacher: TinyTeacher) -> None:
    names = {id(parameter): name for name, parameter in teacher.named_parameters()}
    trained = {tune: {names[id(p)] for p in trainable_parameters(teacher, tune)} for tune in ("decoder", "full")}
    assert trained["full"] == set(names.values())
    assert trained["decoder"] == {name for name in trained["full"] if name.startswith("mask_decoder.")}
