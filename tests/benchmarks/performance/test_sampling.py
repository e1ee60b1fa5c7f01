# SPDX-License-Identifier: Apache-2.0
import pytest

from dsfedmed.generator import GeneratorConfig
from dsfedmed_benchmarks.performance.sampling import Options, configurations, passes, run


def test_guidance_doubles_the_passes():
    assert passes(GeneratorConfig(sampler_steps=8, guidance=1.0)) == 8
    assert passes(GeneratorConfig(sampler_steps=8, guidance=1.25)) == 16


def test_every_sampler_comes_with_every_number_of_steps_and_guidance():
    found = list(configurations(Options(samplers=("unipc", "ddim"), steps=(2, 3), reference_steps=9)))
    assert (found[0].sampler, found[0].sampler_steps, found[0].guidance) == ("unipc", 9, GeneratorConfig().guidance)
    assert [(c.sampler, c.sampler_steps, c.guidance == 1) for c in found[1:]] == [
        (sampler, steps, alone) for sampler in ("unipc", "ddim") for steps in (2, 3) for alone in (False, True)
    ]


def test_the_table_adds_up():
    table = run(Options(samplers=("unipc",), steps=(1,), reference_steps=4, images=2, image_size=32))
    assert [row[:4] for row in table.rows] == [
        ["unipc", 4, 1.25, 8],
        ["unipc", 1, 1.25, 2],
        ["unipc", 1, 1.0, 1],
    ]
    for row in table.rows:
        assert row[4] * row[5] == pytest.approx(1000)
        assert row[6] == pytest.approx(table.rows[0][5] / row[5])
    assert table.rows[0][6] == 1
