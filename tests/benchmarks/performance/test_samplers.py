# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed_benchmarks.performance.samplers import SamplerScores, config_of, difference


def test_a_name_is_a_sampler_and_a_number_of_steps():
    config = config_of(GeneratorConfig(guidance=1.5), "dpmsolver++-8")
    assert (config.sampler, config.sampler_steps, config.guidance) == ("dpmsolver++", 8, 1.5)


@pytest.mark.parametrize("name", ["unknown-8", "unipc-0", "8", "unipc"])
def test_a_name_that_means_nothing_is_refused(name):
    with pytest.raises(ConfigError):
        config_of(GeneratorConfig(), name)


def test_the_difference_is_paired_by_seed():
    reference = SamplerScores(10.0, 5, (0.70, 0.60, 0.50))
    ours = SamplerScores(1.0, 5, (0.71, 0.60, 0.52))
    # differences 1, 0, 2 points: mean 1, deviation 1, standard error 1 / sqrt(3)
    mean, error = difference(ours, reference)
    assert mean == pytest.approx(1.0)
    assert error == pytest.approx(3**-0.5)


def test_one_seed_has_no_standard_error():
    score = SamplerScores(1.0, 5, (0.7,))
    assert difference(score, score) == (0.0, None)
