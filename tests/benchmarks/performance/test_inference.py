# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch

from dsfedmed_benchmarks.performance.inference import Options, milliseconds, run

BUNDLES = Path(__file__).parents[3] / "bundles"


def test_the_table_adds_up():
    lights = ("light_unet_segmentation",)
    table = run(Options(lights=lights, teacher="small", teacher_image_size=64, repeats=2, bundles=BUNDLES))
    light, teacher = table.rows
    assert light[:2] == ["light_unet_segmentation", 64]
    assert teacher[:2] == ["SAM small", 64]
    for row in table.rows:
        assert row[3] == pytest.approx(row[2] * 4 / 2**20)
        assert row[6] == pytest.approx(teacher[4] / row[4])
        assert row[7] == pytest.approx(teacher[5] / row[5])


@pytest.mark.parametrize(("repeats", "seconds", "passes"), [(3, 60.0, 4), (3, 0.0, 1)])
def test_passes_end_with_the_repeats_or_the_seconds(repeats, seconds, passes):
    seen = []

    class Counter(torch.nn.Module):
        def forward(self, images):
            seen.append(tuple(images.shape))
            return images

    assert milliseconds(Counter(), (1, 4, 4), "off", Options(repeats=repeats, seconds=seconds)) > 0
    assert seen == [(1, 1, 4, 4)] * passes
