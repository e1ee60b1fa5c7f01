# SPDX-License-Identifier: Apache-2.0
"""A gradient step of a light network: batches without end, the forward pass, the descent."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from dsfedmed.data.batches import augmented_batches
from dsfedmed.errors import DSFedMedError
from dsfedmed.seeds import derive_seed
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.steps import descend, endless_batches, forward
from dsfedmed.training.task import Batch, LabelledImages, TrainingTask
from tests.training.tiny_networks import TinyLight, squares

bce = functional.binary_cross_entropy_with_logits
TASK = TrainingTask(2, True, bce, None, 4)
PAIRS = LabelledImages(*squares(6, num_classes=2))


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_batches_go_from_epoch_to_epoch_each_with_its_own_seed() -> None:
    found = list(itertools.islice(endless_batches(PAIRS, None, TASK, seed=9), 6))
    assert [len(batch["image"]) for batch in found] == [4, 2, 4, 2, 4, 2]
    for epoch in range(3):
        seed = derive_seed(9, epoch)
        expected = list(augmented_batches(PAIRS.images, PAIRS.label_maps, None, 4, seed))
        assert all(same(*pair) for pair in zip(expected, found[2 * epoch : 2 * epoch + 2], strict=True))
    assert not torch.equal(found[0]["image"], found[2]["image"])


def test_soft_labels_move_with_their_images() -> None:
    soft = PAIRS.images.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 2, 16, 16)
    batch = next(endless_batches(PAIRS, soft, TASK, seed=9))
    torch.testing.assert_close(batch["soft"][:, 0, 0, 0], batch["image"].mean(dim=(1, 2, 3)))


def test_forward_gives_logits_and_mask_channels() -> None:
    network = TinyLight(num_classes=2)
    batch = {"image": PAIRS.images, "label": PAIRS.label_maps}
    logits, target = forward(network, batch, TASK)
    assert torch.equal(logits, network(PAIRS.images))
    assert torch.equal(target[:, 0], (PAIRS.label_maps[:, 0] >= 1).float())
    assert torch.equal(target[:, 1], (PAIRS.label_maps[:, 0] == 2).float())


def test_logits_are_float32_whatever_the_format() -> None:
    batch = {"image": PAIRS.images, "label": PAIRS.label_maps}
    short = TrainingTask(2, True, bce, None, 4, precision="bfloat16")
    network = TinyLight(num_classes=2)
    exact, coarse = forward(network, batch, TASK)[0], forward(network, batch, short)[0]
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(coarse, exact, rtol=0.02, atol=0.02)


class Number(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(3.0))


def test_a_descent_by_hand() -> None:
    """Loss w^2 at w = 3: 9, gradient 6; the old gradient does not count."""
    number = Number()
    optimizer = torch.optim.SGD(number.parameters(), lr=0.1)
    number.w.grad = torch.tensor(100.0)
    loss = descend(number.w**2, optimizer, gradient_scaler(torch.device("cpu"), "off"), "site", 0)
    assert loss == 9.0
    assert number.w.item() == pytest.approx(3.0 - 0.6)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_leaves_the_weights(factor: float) -> None:
    number = Number()
    optimizer = torch.optim.SGD(number.parameters(), lr=0.1)
    scaler = gradient_scaler(torch.device("cpu"), "off")
    with pytest.raises(DSFedMedError, match=r"hospital_x: the loss is (nan|inf) at step 5"):
        descend(number.w * factor, optimizer, scaler, "hospital_x", 4)
    assert number.w.item() == 3.0
