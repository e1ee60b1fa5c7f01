# SPDX-License-Identifier: Apache-2.0
"""The proximal term by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.proximal import proximal_term


def test_half_the_squared_distance_and_its_gradient() -> None:
    w = torch.tensor([1.0, 4.0], requires_grad=True)
    v = torch.tensor([[2.0]], requires_grad=True)
    value = proximal_term([w, v], [torch.tensor([0.0, 2.0]), torch.tensor([[5.0]])])
    assert float(value.detach()) == 0.5 * (1 + 4 + 9)
    value.backward()
    assert w.grad is not None
    assert v.grad is not None
    assert w.grad.tolist() == [1.0, 2.0]
    assert v.grad.tolist() == [[-3.0]]


def test_nothing_moved_costs_nothing() -> None:
    assert float(proximal_term([torch.ones(3)], [torch.ones(3)])) == 0.0
    assert float(proximal_term([], [])) == 0.0


def test_what_does_not_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in number or shape"):
        proximal_term([torch.ones(3)], [torch.ones(2)])
    with pytest.raises(ValueError, match="differ in number or shape"):
        proximal_term([torch.ones(3)], [])
