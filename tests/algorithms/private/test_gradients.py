# SPDX-License-Identifier: Apache-2.0
"""One step of DP-SGD by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.private.gradients import SLACK, clipped_sum, noisy_mean, poisson_sample
from dsfedmed.algorithms.private.secret_draws import SecretDraws


def test_gradients_are_cut_over_all_names_together_and_added() -> None:
    """|(3, 4)| = 5 is cut to 1, that is to (0.6, 0.8); |(0, 0.5)| is left; |0| is left."""
    gradients = {"a": torch.tensor([[3.0], [0.0], [0.0]]), "b": torch.tensor([[[4.0]], [[0.5]], [[0.0]]])}
    sums, bad = clipped_sum(gradients, 1.0)
    assert sums["a"].tolist() == pytest.approx([0.6], rel=1e-5)
    assert sums["b"].tolist() == [pytest.approx([1.3], rel=1e-5)]
    assert bad == 0


def test_a_person_more_or_less_moves_the_sum_by_no_more_than_the_bound() -> None:
    gradients = {"a": 1e4 * torch.randn(40, 300, generator=torch.Generator().manual_seed(0))}
    whole, without = (clipped_sum({"a": given}, 0.5)[0]["a"] for given in (gradients["a"], gradients["a"][1:]))
    moved = float((whole - without).double().norm())
    assert 0.5 * (1 - 2 * SLACK) < moved <= 0.5


def test_a_gradient_that_is_not_finite_counts_as_zero() -> None:
    gradients = {"a": torch.tensor([[math.nan, 1.0], [0.3, 0.4], [math.inf, 0.0], [1e38, 1e38]])}
    sums, bad = clipped_sum(gradients, 1.0)
    root = math.sqrt(0.5)
    assert sums["a"].tolist() == pytest.approx([0.3 + root, 0.4 + root], rel=1e-5)
    assert bad == 2


def test_everyone_is_drawn_on_their_own() -> None:
    draws = SecretDraws("s")
    sizes = torch.tensor([len(poisson_sample(100, 0.2, draws, step)) for step in range(400)]).double()
    assert float(sizes.mean()) == pytest.approx(20, abs=0.6)
    assert float(sizes.var()) == pytest.approx(100 * 0.2 * 0.8, rel=0.2), "a fixed number would have no variance"
    assert poisson_sample(7, 1.0, draws, 0).tolist() == list(range(7))
    assert poisson_sample(7, 0.0, draws, 0).tolist() == []
    assert not torch.equal(poisson_sample(100, 0.2, draws, 0), poisson_sample(100, 0.2, draws, 1))


def test_noise_is_laid_over_the_sum_and_the_divisor_is_the_expected_number() -> None:
    draws = SecretDraws("s")
    sums = {"a": torch.full((3,), 6.0), "b": torch.zeros(20_000)}
    found = noisy_mean(sums, 2.0, 4.0, draws, 5)
    noise = draws.normal(3, "noise", 5, "a")
    assert found["a"].tolist() == pytest.approx(((6 + 2 * noise) / 4).tolist())
    assert float(found["b"].std()) == pytest.approx(0.5, rel=0.03)
    assert noisy_mean(sums, 0.0, 4.0, draws, 5)["a"].tolist() == [1.5] * 3
    assert not torch.equal(noisy_mean(sums, 2.0, 4.0, draws, 6)["a"], found["a"])
