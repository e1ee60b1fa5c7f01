# SPDX-License-Identifier: Apache-2.0
"""The account of DP-SGD: against the exact one where nothing is sampled, and against published figures."""

from __future__ import annotations

import sys

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.accounting import epsilon_of
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all, multiplier_for


def test_without_sampling_it_is_a_bound_on_the_exact_account() -> None:
    """50 steps at z = 20 move a person's data by 1 / 20 each: mu = sqrt(50) / 20."""
    exact = epsilon_of(50**0.5 / 20, 1e-4)
    bound = epsilon_of_all([SampledRelease(20.0, 1.0, 50)], 1e-4)
    assert exact < bound < 1.15 * exact


def test_the_account_of_abadi_and_others() -> None:
    """Section 5.1, q = 0.01, z = 4, 10,000 steps, delta 1e-5: "the moments accountant gives (1.26, 1e-5)"."""
    assert epsilon_of_all([SampledRelease(4.0, 0.01, 10_000)], 1e-5) == pytest.approx(1.26, rel=0.25)
    assert epsilon_of_all([SampledRelease(4.0, 0.01, 10_000)], 1e-5) <= 1.26


def test_sampling_saves_and_releases_add_up() -> None:
    one = SampledRelease(5.0, 0.2, 100)
    assert epsilon_of_all([one], 1e-4) < 0.5 * epsilon_of_all([SampledRelease(5.0, 1.0, 100)], 1e-4)
    both = epsilon_of_all([one, one], 1e-4)
    assert both == pytest.approx(epsilon_of_all([SampledRelease(5.0, 0.2, 200)], 1e-4))
    assert epsilon_of_all([one], 1e-4) < both < 2 * epsilon_of_all([one], 1e-4)
    assert epsilon_of_all([], 1e-4) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(1.0, 0.25, 60), (10.0, 1.0, 20), (3.0, 0.08, 800)])
def test_the_least_noise_that_is_enough_is_found(epsilon: float, rate: float, steps: int) -> None:
    noise = multiplier_for(epsilon, 5e-4, rate, steps)
    assert epsilon_of_all([SampledRelease(noise, rate, steps)], 5e-4) <= epsilon
    assert epsilon_of_all([SampledRelease(0.995 * noise, rate, steps)], 5e-4) > epsilon


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="no noise gives an epsilon of 1e-06"):
        multiplier_for(1e-6, 1e-5, 1.0, 10)
    with pytest.raises(ValueError, match="delta is 1"):
        epsilon_of_all([], 1.0)


def test_without_the_package_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(ConfigError, match=r"needs the package opacus.*pip install opacus"):
        epsilon_of_all([SampledRelease(1.0, 0.1, 10)], 1e-5)
