# SPDX-License-Identifier: Apache-2.0
"""Adapting the teacher: it learns, freezes what it must, replays, and stops on a loss that is not finite."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.losses import DiceLoss
from tiny_networks import TinyTeacher, squares

from dsfedmed.algorithms.losses import bce_per_sample
from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.teacher import TeacherConfig, TeacherEpoch, adapt_teacher, pool_dice

FAST = TeacherConfig(epochs=6, batch_size=8, learning_rate=0.02)


def test_the_teacher_learns_and_reports_every_epoch(teacher: TinyTeacher) -> None:
    images, labels = squares(48)
    seen: list[TeacherEpoch] = []
    held_out = squares(16, seed=9)
    history = adapt_teacher(teacher, images, labels, FAST, seed=1, on_epoch=seen.append, validation=held_out)
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
    assert adapt_teacher(teacher, images, labels, config, seed=0)[0].loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("tune", ["decoder", "full"])
def test_decoder_tuning_leaves_the_encoder_alone(teacher: TinyTeacher, tune: str) -> None:
    before = copy.deepcopy(teacher.state_dict())
    config = TeacherConfig(epochs=1, batch_size=8, tune=tune, learning_rate=0.01)  # type: ignore[arg-type]
    adapt_teacher(teacher, *squares(16), config, seed=0)
    moved = {name.split(".")[0] for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == ({"mask_decoder"} if tune == "decoder" else {"mask_decoder", "image_encoder"})


def test_the_same_seed_gives_the_same_weights(teacher: TinyTeacher) -> None:
    twin, other = copy.deepcopy(teacher), copy.deepcopy(teacher)
    for network, seed in ((teacher, 3), (twin, 3), (other, 4)):
        adapt_teacher(network, *squares(16), TeacherConfig(epochs=2, batch_size=4), seed)
    weight = "mask_decoder.1.weight"
    assert torch.equal(teacher.state_dict()[weight], twin.state_dict()[weight])
    assert not torch.equal(teacher.state_dict()[weight], other.state_dict()[weight])


def test_two_nested_classes_are_learned() -> None:
    torch.manual_seed(0)
    teacher = TinyTeacher(num_classes=2)
    images, labels = squares(32, num_classes=2)
    history = adapt_teacher(teacher, images, labels, FAST, seed=1)
    assert history[-1].loss < history[0].loss


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(teacher: TinyTeacher) -> None:
    images, labels = squares(8)
    images[3] = float("nan")
    before = copy.deepcopy(teacher.state_dict())
    with pytest.raises(DSFedMedError, match="teacher: its loss is not finite"):
        adapt_teacher(teacher, images, labels, TeacherConfig(epochs=1, batch_size=8), seed=0)
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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"epochs": 0}, "teacher.epochs"),
        ({"epochs": 2.5}, "not a whole number"),
        ({"tune": "encoder"}, "Use one of decoder, lora, full"),
        ({"dice_weight": -1}, "teacher.dice_weight"),
        ({"flips": "yes"}, "not true or false"),
    ],
)
def test_wrong_options_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TeacherConfig.from_dict(values)
    assert TeacherConfig.from_dict(TeacherConfig().to_dict()) == TeacherConfig()
