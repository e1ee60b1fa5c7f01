# SPDX-License-Identifier: Apache-2.0
"""Regularity condensation: a step by hand, the gate on poor advice, order and noise, a loss out of range."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.algorithms.regularity import structure_loss
from dsfedmed.errors import DSFedMedError
from dsfedmed.training.semi_supervised.condensation import LIMIT, NOISE, PublicAnswers, condense

SIZE, RATE = 4, 0.1


class Bias(nn.Module):
    """One logit for every pixel, whatever the image shows."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(value))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return self.logit.expand(len(images), 1, SIZE, SIZE)


def _target(share: float) -> Tensor:
    """One mask whose first rows are foreground."""
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[:, :, : round(share * SIZE)] = 1
    return mask


def _condense(network: nn.Module, target: Tensor, own: Tensor, answers: list[Tensor], **changes: int) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    images = torch.full_like(target, 0.5)
    values = {"epochs": 1, "batch_size": 4, "seed": 3} | changes
    condense(network, optimizer, PublicAnswers(images, target, own, answers), **values)


def _moved_by_labels(target: Tensor) -> float:
    """The logit behind one step of gradient descent on the structure loss alone."""
    logit = torch.zeros((), requires_grad=True)
    structure_loss(logit.expand(target.shape), target).backward()
    return -RATE * float(logit.grad)


def test_a_step_by_hand_towards_the_best_site() -> None:
    """From logit 0, with T = 2: d/dz of 10 KL(sigmoid(a/2) -> sigmoid(z/2)) / 2 is 10 (sigmoid(0) - sigmoid(a/2)) / 4.

    The right answer, all foreground at p = 0.9, has logit ln 9: sigmoid(ln 3) = 0.75, so the gradient is -0.625.
    """
    target = _target(1.0)
    right, wrong = torch.full_like(target, 0.9), torch.full_like(target, 0.2)
    network = Bias()
    _condense(network, target, torch.full_like(target, 0.4), [wrong, right])
    assert network.logit.item() == pytest.approx(_moved_by_labels(target) + RATE * 0.625, abs=1e-5)


@pytest.mark.parametrize(
    ("own", "share"),
    [(0.9, 1.0), (0.4, 0.75)],
    ids=["the server is as good already", "the best is right in 0.75 of the pixels, and not above"],
)
def test_advice_that_is_not_better_or_poor_does_not_count(own: float, share: float) -> None:
    target = _target(share)
    network = Bias()
    _condense(network, target, torch.full_like(target, own), [torch.full_like(target, 0.9)])
    assert network.logit.item() == pytest.approx(_moved_by_labels(target), abs=1e-6)


def test_smaller_answers_are_enlarged() -> None:
    target = _target(1.0)
    small, whole = Bias(), Bias()
    for network, answer in ((small, torch.full((1, 1, 2, 2), 0.9)), (whole, torch.full_like(target, 0.9))):
        _condense(network, target, torch.full_like(target, 0.4), [answer])
    assert small.logit.item() == pytest.approx(whole.logit.item(), abs=1e-6)


def test_every_image_is_seen_once_a_pass_under_cut_noise_of_the_seed() -> None:
    target = _target(1.0).expand(6, 1, SIZE, SIZE)
    first, again, other = Bias(), Bias(), Bias()
    for network, seed in ((first, 3), (again, 3), (other, 4)):
        _condense(network, target, target, [target], epochs=2, seed=seed)
    assert [len(batch) for batch in first.seen] == [4, 2, 4, 2]
    assert all(torch.equal(one, two) for one, two in zip(first.seen, again.seen, strict=True))
    assert not torch.equal(first.seen[0], other.seen[0])
    noise = torch.cat(first.seen) - 0.5
    assert 0 < noise.abs().max() <= LIMIT + 1e-6
    assert noise.std() == pytest.approx(NOISE, rel=0.25)


def test_a_loss_that_is_not_finite_stops_before_the_step() -> None:
    network = Bias(math.inf)
    target = _target(1.0)
    with pytest.raises(DSFedMedError, match="condensation"):
        _condense(network, target, target, [target])
