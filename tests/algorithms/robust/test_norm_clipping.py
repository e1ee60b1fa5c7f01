# SPDX-License-Identifier: Apache-2.0
"""Norm clipping by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.robust.norm_clipping import clipping_factors


def test_only_those_above_the_lower_median_are_shortened() -> None:
    assert clipping_factors(torch.tensor([1.0, 2.0, 4.0, 1e6])).tolist() == pytest.approx([1, 1, 0.5, 2e-6])
    assert clipping_factors(torch.tensor([3.0, 1.0, 2.0])).tolist() == pytest.approx([2 / 3, 1, 1])


def test_nothing_is_divided_by_zero() -> None:
    assert clipping_factors(torch.zeros(3)).tolist() == [1, 1, 1]
    assert clipping_factors(torch.tensor([0.0, 0.0, 5.0])).tolist() == [1, 1, 0]
