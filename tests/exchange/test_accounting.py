# SPDX-License-Identifier: Apache-2.0
"""The privacy account against closed forms, published figures and the looser bounds it must beat."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from dsfedmed.exchange.accounting import composed, delta_of, epsilon_of, mu_for


def test_releases_compose_like_sides_of_a_right_triangle() -> None:
    assert composed([3.0, 4.0]) == 5.0
    assert composed([0.5] * 16) == 2.0
    assert composed([]) == 0.0


def test_delta_at_epsilon_zero_is_the_total_variation_of_two_normals() -> None:
    assert delta_of(0.0, 1.0) == pytest.approx(2 * norm.cdf(0.5) - 1)


@pytest.mark.parametrize("mu", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_delta_is_the_analytic_gaussian_mechanism(mu: float, epsilon: float) -> None:
    """Balle and Wang, ICML 2018, theorem 8, with sensitivity 1 and sigma 1 / mu, in SciPy's words."""
    expected = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)
    assert delta_of(epsilon, mu) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(st.floats(0.01, 20.0), st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_epsilon_and_delta_invert_each_other(mu: float, delta: float) -> None:
    epsilon = epsilon_of(mu, delta)
    assert delta_of(epsilon, mu) <= delta
    if epsilon > 1e-6:
        assert delta_of(epsilon - 1e-6, mu) > delta * (1 - 1e-9)


@given(st.floats(0.05, 8.0), st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_the_account_is_never_above_the_bound_by_renyi_moments(mu: float, delta: float) -> None:
    """Mironov, CSF 2017: epsilon <= a mu^2 / 2 + log(1 / delta) / (a - 1) for every order a > 1."""
    renyi = min(a * mu * mu / 2 + math.log(1 / delta) / (a - 1) for a in [1 + x / 10 for x in range(1, 2000)])
    assert epsilon_of(mu, delta) <= renyi + 1e-6


@given(st.floats(0.05, 30.0), st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_the_largest_mu_for_a_budget_just_keeps_it(epsilon: float, delta: float) -> None:
    mu = mu_for(epsilon, delta)
    assert epsilon_of(mu, delta) <= epsilon + 1e-6
    assert epsilon_of(mu * 1.001 + 1e-6, delta) > epsilon - 1e-6


def test_no_release_costs_nothing_and_no_noise_everything() -> None:
    assert epsilon_of(0.0, 1e-5) == 0.0
    assert epsilon_of(1000.0, 1e-5) == math.inf
    with pytest.raises(ValueError, match="between 0 and 1"):
        epsilon_of(1.0, 0.0)
