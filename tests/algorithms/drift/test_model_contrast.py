# SPDX-License-Identifier: Apache-2.0
"""MOON's contrast by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.drift.model_contrast import Representation, contrastive_loss, last_convolution

X, Y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("own", "shared", "previous", "similarities"),
    [(X, X, Y, (1, 0)), (X, Y, X, (0, 1)), (3 * X, X, -2 * X, (1, -1)), (X, Y, Y, (0, 0))],
)
def test_by_hand(own, shared, previous, similarities) -> None:
    """-log(e^(a / tau) / (e^(a / tau) + e^(b / tau))), of cosines a and b, whatever the lengths."""
    a, b = (math.exp(value / 0.5) for value in similarities)
    assert contrastive_loss(own, shared, previous, 0.5).item() == pytest.approx(-math.log(a / (a + b)), abs=1e-6)


def test_a_batch_has_the_mean() -> None:
    batch = contrastive_loss(torch.cat([X, X]), torch.cat([X, Y]), torch.cat([Y, X]), 1.0)
    one, other = (contrastive_loss(X, *pair, 1.0) for pair in ((X, Y), (Y, X)))
    assert batch.item() == pytest.approx((one + other).item() / 2)


def test_a_step_goes_to_the_shared_and_off_from_the_previous_one() -> None:
    own = torch.tensor([[1.0, 1.0]], requires_grad=True)
    contrastive_loss(own, X, Y, 0.5).backward()
    moved = own.detach() - 0.1 * own.grad
    assert moved[0, 0] > moved[0, 1]


def test_the_representation_is_what_the_last_convolution_gets() -> None:
    """Two channels, of means 2.5 and 5; the head's own weights do not count."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1))
    network[0].weight.data = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    kept = Representation(network)
    with pytest.raises(ValueError, match="no image"):
        _ = kept.last
    network(torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None])
    assert kept.last.tolist() == [[2.5, 5.0]]
    kept.remove()
    network(torch.zeros(1, 1, 2, 2))
    assert kept.last.tolist() == [[2.5, 5.0]], "it has let go"


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="no convolution"):
        last_convolution(nn.Linear(1, 1))
