# SPDX-License-Identifier: Apache-2.0
"""Shapes at the paper's scale, by hand where that is possible."""

from __future__ import annotations

import math
from pathlib import Path

from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.settings import read_preset
from dsfedmed_benchmarks.paper_scale.shapes import branch_shapes

ROOT = Path(__file__).resolve().parents[3]


def test_the_paper_s_branch_has_at_most_25_mb():
    model = read_preset(ROOT / "jobs" / "dsfedmed" / "presets" / "full_scale.yaml")["generator_model"]
    config = GeneratorConfig.from_dict({**model, "image_size": 512, "channels": 3, "num_classes": 1})
    assert 2 * sum(math.prod(shape) for shape in branch_shapes(config).values()) <= 25e6
