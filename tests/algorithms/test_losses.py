# SPDX-License-Identifier: Apache-2.0
"""Supervised loss and divergences against sums that can be done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.algorithms.losses import (
    WeightedBce,
    bce_per_sample,
    bernoulli_kl,
    bernoulli_kl_released,
    symmetric_kl,
    symmetric_kl_per_sample,
)
from dsfedmed.algorithms.soft_divergence import soft_kl

logits_strategy = st.lists(st.floats(-9.0, 9.0, width=32), min_size=4, max_size=4)


def as_logits(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 2, 2)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_kl_by_hand() -> None:
    p = as_logits([logit(0.5), logit(0.8), 0.0, 0.0])
    q = as_logits([logit(0.25), logit(0.5), 0.0, 0.0])
    first = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    second = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    expected = torch.tensor([first, second, 0.0, 0.0], dtype=torch.float64).view(1, 1, 2, 2)
    torch.testing.assert_close(bernoulli_kl(p, q), expected, atol=1e-12, rtol=0)


def test_temperature_divides_the_logits_and_multiplies_by_its_square() -> None:
    p, q = as_logits([2.0, -1.0, 4.0, 0.0]), as_logits([0.0, 3.0, -2.0, 0.0])
    torch.testing.assert_close(bernoulli_kl(p, q, temperature=2.0), 4.0 * bernoulli_kl(p / 2, q / 2))
    torch.testing.assert_close(symmetric_kl(p, q, temperature=2.0), 4.0 * symmetric_kl(p / 2, q / 2))


@given(logits_strategy, logits_strategy)
def test_stable_form_equals_the_released_form(first: list[float], second: list[float]) -> None:
    p, q = as_logits(first), as_logits(second)
    # |log(x + 1e-8) - log x| <= 1e-8 / sigmoid(-9) = 8.2e-5 at the ends of the range, less inside it.
    torch.testing.assert_close(bernoulli_kl(p, q), bernoulli_kl_released(p, q), atol=2e-4, rtol=0)


@given(st.lists(st.floats(-4.0, 4.0, width=32), min_size=4, max_size=4))
def test_stable_form_equals_the_released_form_closely_near_the_boundary(values: list[float]) -> None:
    p, q = as_logits(values), as_logits(list(reversed(values)))
    torch.testing.assert_close(bernoulli_kl(p, q), bernoulli_kl_released(p, q), atol=2e-6, rtol=0)


@given(logits_strategy, logits_strategy)
def test_symmetric_form_is_the_sum_of_both_directions(first: list[float], second: list[float]) -> None:
    p, q = as_logits(first), as_logits(second)
    torch.testing.assert_close(symmetric_kl(p, q), bernoulli_kl(p, q) + bernoulli_kl(q, p), atol=1e-10, rtol=1e-9)
    assert bool((symmetric_kl(p, q) >= 0).all())
    torch.testing.assert_close(symmetric_kl(p, q), symmetric_kl(q, p))


def test_stable_form_has_finite_gradients_where_the_released_one_saturates() -> None:
    p = torch.tensor([200.0, -200.0]).view(1, 1, 1, 2).requires_grad_()
    q = torch.tensor([-200.0, 200.0]).view(1, 1, 1, 2).requires_grad_()
    value = bernoulli_kl(p, q).mean()
    value.backward()
    assert value.item() == pytest.approx(200.0)
    assert bool(torch.isfinite(p.grad).all())
    torch.testing.assert_close(q.grad.flatten(), torch.tensor([-0.5, 0.5]))
    assert bernoulli_kl_released(p, q).mean().item() < 20.0


def test_bce_per_sample_by_hand() -> None:
    logits = torch.zeros(2, 1, 1, 2)
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    half = math.log(2)
    expected = torch.tensor([(2 * half + half) / 2, half])
    torch.testing.assert_close(bce_per_sample(logits, target, pos_weight=2.0), expected)
    torch.testing.assert_close(WeightedBce()(logits, target), expected.mean()), "the module of the bundles"


def test_disagreement_is_the_mean_over_channels_and_pixels() -> None:
    first = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    per_sample = symmetric_kl_per_sample(first, -first)
    assert per_sample.shape == (3,)
    assert float(per_sample[1]) == pytest.approx(float(symmetric_kl(first, -first)[1].mean()))


@settings(max_examples=50)
@given(st.floats(0.01, 0.99), st.floats(-8.0, 8.0))
def test_soft_kl_equals_the_divergence_from_logits(probability: float, student: float) -> None:
    soft = torch.full((1, 1, 1, 1), probability, dtype=torch.float64)
    teacher, light = torch.logit(soft), torch.full_like(soft, student)
    torch.testing.assert_close(soft_kl(soft, light), bernoulli_kl(teacher, light), atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(soft_kl(soft, light, symmetric=True), symmetric_kl(teacher, light))


def test_soft_kl_of_extreme_levels_is_finite_and_zero_at_its_own_probability() -> None:
    soft = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    logits = torch.tensor([-60.0, 60.0]).view(1, 1, 1, 2).requires_grad_()
    value = soft_kl(soft, logits, symmetric=True)
    value.sum().backward()
    assert bool(torch.isfinite(value).all())
    assert bool(torch.isfinite(logits.grad).all())
    own = torch.logit(torch.tensor(0.5 / 255)).view(1, 1, 1, 1)
    assert float(soft_kl(soft[..., :1], own)) == pytest.approx(0.0, abs=1e-6)
