# SPDX-License-Identifier: Apache-2.0
"""Pixels without a label: losses by hand, gradients of exactly nothing, and the same bits where there are none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from monai.losses import DiceFocalLoss, DiceLoss
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dsfedmed.algorithms.distillation import DistillationConfig, mutual_distillation_loss
from dsfedmed.algorithms.ignored_pixels import ValidPixelLoss, valid_mean, valid_mean_per_sample, without_ignored
from dsfedmed.algorithms.losses import bce_per_sample, bernoulli_kl
from dsfedmed.algorithms.regularity import boundary_weight, image_accuracy, regularity_kl, structure_loss
from dsfedmed.errors import ConfigError

NAN = math.nan
DICE_BCE = DiceFocalLoss(sigmoid=True, gamma=0.0, batch=True, smooth_nr=1.0, smooth_dr=1.0)
LOGITS = torch.tensor([[[[0.0, math.log(3)], [-math.log(3), 0.0]]]])
"""Probabilities 1/2, 3/4, 1/4, 1/2."""
TARGET = torch.tensor([[[[1.0, 1.0], [NAN, 0.0]]]])


def random_masks(count: int = 3, classes: int = 2, side: int = 6) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(count, classes, side, side, generator=draws)
    return logits, (torch.rand(count, classes, side, side, generator=draws) > 0.5).float()


def some_ignored(target: Tensor) -> Tensor:
    return target.masked_fill(torch.rand(target[:, :1].shape, generator=torch.Generator().manual_seed(5)) < 0.3, NAN)


def test_dice_and_bce_of_four_pixels_by_hand() -> None:
    """BCE: the mean of log 2, log 4/3 and log 2. Dice: overlap 1/2 + 3/4, sizes 7/4 and 2, each sum with its 1."""
    bce = (2 * math.log(2) + math.log(4 / 3)) / 3
    dice = 1 - (2 * 1.25 + 1) / (1.75 + 2 + 1)
    assert float(ValidPixelLoss(DICE_BCE)(LOGITS, TARGET)) == pytest.approx(bce + dice, rel=1e-6)
    assert float(ValidPixelLoss(binary_cross_entropy_with_logits)(LOGITS, TARGET)) == pytest.approx(bce, rel=1e-6)
    assert float(bce_per_sample(LOGITS, TARGET)) == pytest.approx(bce, rel=1e-6)
    per_image = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    assert float(per_image(*without_ignored(LOGITS, TARGET))) == pytest.approx(dice, rel=1e-6)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dice_bce": ValidPixelLoss(DICE_BCE),
    "bce": ValidPixelLoss(torch.nn.BCEWithLogitsLoss()),
    "per sample": lambda logits, target: bce_per_sample(logits, target, 2.0).sum(),
    "dice per image": lambda logits, target: DiceLoss(sigmoid=True)(*without_ignored(logits, target)),
    "structure": structure_loss,
    "regularity": lambda logits, target: regularity_kl(torch.ones_like(logits), logits, torch.ones(3), target),
    "mutual": lambda logits, target: (
        mutual_distillation_loss(torch.ones_like(logits), logits, target, DistillationConfig()).total
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_have_no_gradient_and_no_say(name: str) -> None:
    logits, target = random_masks()
    target = some_ignored(target)
    ignored = target.isnan()
    logits.requires_grad_()
    value = LOSSES[name](logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[ignored].tolist() == [0.0] * int(ignored.sum())
    assert bool((gradient[~ignored] != 0).all())
    other = torch.where(ignored, torch.full_like(logits, 7.0), logits)
    assert torch.equal(LOSSES[name](other, target), value)


OLD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dice_bce": DICE_BCE,
    "bce": torch.nn.BCEWithLogitsLoss(),
    "per sample": lambda logits, target: (
        binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(2.0), reduction="none")
        .flatten(1).mean(dim=1).sum()
    ),
    "dice per image": DiceLoss(sigmoid=True),
    "regularity": lambda logits, target: (
        10.0 * (bernoulli_kl(torch.ones_like(logits), logits, 2.0) / 4.0 / 2).flatten(1).mean(dim=1).mean()
    ),
}  # fmt: skip
"""The losses as they are without any thought of ignored pixels."""


@pytest.mark.parametrize("name", OLD)
def test_without_ignored_pixels_losses_and_gradients_have_the_bits_of_before(name: str) -> None:
    logits, target = random_masks()
    logits.requires_grad_()
    now, before = LOSSES[name](logits, target), OLD[name](logits, target)
    assert torch.equal(now, before)
    assert torch.equal(*(torch.autograd.grad(value, logits)[0] for value in (now, before)))


@pytest.mark.parametrize("name", ["dice_bce", "bce", "per sample", "structure", "regularity", "mutual"])
def test_a_batch_without_labels_teaches_nothing(name: str) -> None:
    logits, target = random_masks()
    logits.requires_grad_()
    value = LOSSES[name](logits, torch.full_like(target, NAN))
    assert float(value.detach()) == 0.0
    assert not torch.autograd.grad(value, logits)[0].any()


def test_a_dice_of_each_image_is_refused_only_where_pixels_are_ignored() -> None:
    loss = ValidPixelLoss(DiceLoss(sigmoid=True))
    known = torch.nan_to_num(TARGET)
    assert torch.equal(loss(LOGITS, known), DiceLoss(sigmoid=True)(LOGITS, known))
    with pytest.raises(ConfigError, match=r"loss DiceLoss: it looks at each image by itself"):
        loss(LOGITS, TARGET)


def test_means_by_hand() -> None:
    values = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 100.0]]], [[[50.0, 50.0]]]])
    target = torch.tensor([[[[0.0, 1.0]]], [[[1.0, NAN]]], [[[NAN, NAN]]]])
    assert float(valid_mean(values, target)) == 2.0
    assert valid_mean_per_sample(values, target).tolist() == [1.5, 3.0, 0.0]


def test_accuracy_and_edges_do_not_see_ignored_pixels() -> None:
    """One right of two labelled pixels. The edge weight of a mask that is all 1 but for an ignored pixel is 1."""
    probability = torch.tensor([[[[0.9, 0.9, 0.9]]]])
    assert float(image_accuracy(probability, torch.tensor([[[[1.0, 0.0, NAN]]]]))) == 0.5
    target = torch.ones(1, 1, 9, 9)
    target[..., 4, 4] = NAN
    weight = boundary_weight(target)
    assert float(weight[0, 0, 4, 4]) == 0.0
    torch.testing.assert_close(weight[0, 0, 3:6, 3:6].flatten()[[0, 1, 2, 3, 5, 6, 7, 8]], torch.ones(8))
