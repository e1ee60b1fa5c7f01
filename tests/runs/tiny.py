# SPDX-License-Identifier: Apache-2.0
"""The smallest federation there is; the smoke preset's does everything, this one only goes through every stage."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "rounds": 1,
    "image_size": 32,
    "teacher_variant": "tiny",
    "light": {"batch_size": 4},
    "generator": {"base_rounds": 1, "base_steps": 1, "branch_steps": 1},
    "generator_model": {
        "block_out_channels": [16, 32], "norm_groups": 8, "layers_per_block": 1, "attention_head_channels": 16,
        "sampler_steps": 1, "batch_size": 4,
    },
    "synthetic": {"per_site": 2, "max_veto_share": 1.0},
    "teacher": {"epochs": 1},
    "robust": {"part_steps": 1, "part_margin": 1.0},
    "schedule": {"warmup_rounds": 0, "interval_rounds": 1, "head_start_steps": 1},
}  # fmt: skip
"""Every stage once, and as little of each as there can be."""
NOTHING = {"local": False, "fedavg": False, "equal_steps": False, "teacher": False}
"""Comparisons left out: none of them runs."""
