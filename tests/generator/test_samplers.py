# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.embedded import training_scheduler
from dsfedmed.generator.samplers import KINDS, log_snr_timesteps, sampling_scheduler


def _alphas(log_snr):
    """Cumulative alphas whose half log signal-to-noise ratio is ``log_snr``."""
    ratio = torch.exp(2 * torch.as_tensor(log_snr, dtype=torch.float64))
    return ratio / (1 + ratio)


def test_timesteps_are_even_in_the_log_signal_to_noise_ratio_from_pure_noise():
    alphas = torch.cat([_alphas(torch.linspace(5, -5, 1001, dtype=torch.float64)), torch.zeros(1)])
    # T - 1 first, then -3 and four steps of 7 / 5 up to (not including) 4, found where 5 - t / 100 meets them.
    expected = [1001, *(round(100 * (5 - (-3 + place * 7 / 5))) for place in range(5))]
    assert log_snr_timesteps(alphas, 6) == expected


def test_a_schedule_that_keeps_a_signal_begins_the_spacing_at_its_end():
    alphas = _alphas(torch.linspace(3, -2, 501, dtype=torch.float64))
    assert log_snr_timesteps(alphas, 5) == [500, 400, 300, 200, 100]


@given(st.integers(1, 60), st.floats(1.0, 8.0), st.floats(-8.0, -1.0))
def test_timesteps_fall_and_are_never_more_than_asked_for(steps, high, low):
    alphas = _alphas(torch.linspace(high, low, 1000, dtype=torch.float64))
    timesteps = log_snr_timesteps(alphas, steps)
    assert timesteps[0] == 999
    assert 1 <= len(timesteps) <= steps
    assert all(0 <= later < earlier for earlier, later in itertools.pairwise(timesteps))


@pytest.mark.parametrize("sampler", sorted(KINDS))
def test_every_sampler_starts_at_pure_noise_and_keeps_to_its_steps(sampler):
    config = GeneratorConfig(sampler=sampler, sampler_steps=8)
    timesteps = sampling_scheduler(training_scheduler(config), config).timesteps.tolist()
    assert timesteps[0] == config.train_timesteps - 1
    assert len(timesteps) == 8


def test_eight_steps_of_dpmsolver_solve_a_known_flow_better_than_evenly_spaced_ones():
    """Data x0 ~ N(0, s^2): the posterior mean is known, and the flow ends in s times the start over its deviation."""
    config, deviation = GeneratorConfig(sampler="dpmsolver++", sampler_steps=8), 0.3
    schedule = training_scheduler(config)

    def solve(sampler):
        x = torch.tensor([1.0])
        for t in sampler.timesteps:
            alpha = schedule.alphas_cumprod[int(t)].double()
            mean = x * alpha.sqrt() * deviation**2 / (alpha * deviation**2 + 1 - alpha)
            x = sampler.step(mean.float(), t, x, return_dict=False)[0]
        return float(x)

    spaced = solve(sampling_scheduler(schedule, config))
    even = KINDS["dpmsolver++"].from_config(schedule.config, timestep_spacing="trailing")
    even.set_timesteps(8)
    assert math.isclose(spaced, deviation, rel_tol=0.05)
    assert abs(spaced - deviation) < abs(solve(even) - deviation)
