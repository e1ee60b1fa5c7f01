# SPDX-License-Identifier: Apache-2.0
"""GIN by hand: layers of known weights, the mixture, its norm, and the way back into [0, 1]."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dsfedmed.algorithms.appearance.random_network import (
    RandomLayer,
    mixed_with,
    random_appearance,
    through_layers,
)


def layer(weight: float, shift: float, side: int = 1) -> RandomLayer:
    return RandomLayer(torch.full((1, 1, side, side), float(weight)), torch.tensor([float(shift)]))


def image(*values: float) -> Tensor:
    return torch.tensor([[values]])


def test_a_leaky_relu_stands_between_layers_and_not_behind_them() -> None:
    """2 x + 1 is -1 and 3; below 0 a hundredth is left."""
    assert through_layers(image(-1.0, 1.0), [layer(2, 1)]).flatten().tolist() == [-1.0, 3.0]
    two = through_layers(image(-1.0, 1.0), [layer(2, 1), layer(-1, 0)])
    assert two.flatten().tolist() == pytest.approx([0.01, -3.0])


def test_a_kernel_of_three_sees_its_neighbours_and_zeros_beyond_the_border() -> None:
    assert through_layers(image(1.0, 1.0, 1.0), [layer(1, 0, 3)]).flatten().tolist() == [2.0, 3.0, 2.0]


def test_a_mixture_keeps_the_norm() -> None:
    """Half of (2, 6) and half of (0, 4) is (1, 5), of norm sqrt(26) where the image's is 4."""
    got = mixed_with(image(0.0, 4.0), image(2.0, 6.0), 0.5)
    assert got.flatten().tolist() == pytest.approx([4 / math.sqrt(26), 20 / math.sqrt(26)], rel=1e-4)
    assert mixed_with(image(0.0, 4.0), image(9.0, 9.0), 0.0).flatten().tolist() == pytest.approx([0, 4], rel=1e-4)


def test_an_image_by_hand() -> None:
    """Black and white are -1 and 1 at first, -1 and 3 by the layer, -1 and 2 in the mixture, less by sqrt(2 / 5), and
    half of that about 1/2; white is cut off at 1.
    """
    got = random_appearance(image(0.0, 1.0), [layer(2, 1)], 0.5)
    assert got.flatten().tolist() == pytest.approx([0.5 - 0.5 * math.sqrt(0.4), 1.0], rel=1e-4)
    inverted = random_appearance(image(0.0, 1.0), [layer(-1, 0)], 1.0)
    assert inverted.flatten().tolist() == pytest.approx([1.0, 0.0], abs=1e-4), "a negative weight inverts"


def test_an_even_image_stays_as_it_is() -> None:
    got = random_appearance(torch.full((3, 4, 4), 0.3), [RandomLayer(torch.randn(3, 3, 1, 1), torch.ones(3))], 0.7)
    torch.testing.assert_close(got, torch.full((3, 4, 4), 0.3))
