# SPDX-License-Identifier: Apache-2.0
"""What the numbers of the settings may be: refused before a run starts, not hours into it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dsfedmed.options import require

FROM_ONE = (
    "image_size",
    "min_sites",
    "light.batch_size",
    "light.epochs_per_round",
    "generator.base_rounds",
    "generator.base_steps",
    "generator.branch_steps",
    "generator.branch_draws",
    "synthetic.per_site",
    "synthetic.shard_size",
    "schedule.interval_rounds",
    "schedule.epochs",
    "refit.patience",
    "guard.patience",
    "robust.bad_sites",
    "robust.strikes",
    "robust.part_steps",
    "timeouts.task_s",
)
"""Whole numbers from 1."""
FROM_ZERO = (
    "seed",
    "rounds",
    "teacher_image_size",
    "light.ramp_steps",
    "light.clip_norm",
    "generator.branch_epsilon",
    "generator.branch_delta",
    "schedule.warmup_rounds",
    "schedule.head_start_steps",
    "schedule.head_start_ramp_steps",
    "schedule.joint_weight",
    "schedule.average_rounds",
    "schedule.site_supervised_weight",
    "schedule.site_kl_weight",
    "refit.steps",
    "refit.clip_norm",
    "refit.supervised_weight",
    "refit.kl_weight",
    "robust.gate_norm",
    "timeouts.straggler_grace_s",
    "timeouts.returning_grace_s",
)
"""Counts and weights, 0 for none."""
ABOVE_ZERO = {
    "generator.branch_clip": "Give 1",
    "schedule.head_start_learning_rate": "Give 0.01",
    "refit.learning_rate": "Give 0.003",
    "robust.max_share": "Give 1, or a share",
    "robust.gate_growth": "Give 8",
    "compare.fedprox_mu": "Give 0.01, or leave FedProx out",
    "compare.fedsam_learning_rate": "Give 0.0001",
    "compare.fedmsa_learning_rate": "Give 0.0001",
    "compare.lora_learning_rate": "Give 0.0001",
}
"""Rates and weights that 0 makes useless, and what to give instead."""
AT_MOST_ONE = {
    "robust.max_share": 1,
    "robust.gate_replay": 0.001,
    "robust.trial_margin": 0.05,
    "robust.part_adherence": 0.1,
    "robust.part_margin": 0.05,
}
"""Shares, cosines and Dice, and what to give instead."""
SEEDS = 2**63
"""Seeds are below this, so that every part of a run can hold one."""


def check_numbers(values: Mapping[str, Any], where: str) -> None:
    """Refuse the first number that is not finite or out of its range.

    Args:
        values: all settings by dotted key (`dsfedmed.options.dotted`).
        where: the file or section that they come from, for the error.

    Raises:
        ConfigError: naming that number's key.
    """
    for key, value in values.items():
        require(_is_finite(value), f"{where}.{key}", f"{value!r} is not finite", "Give a finite number")
    for key in FROM_ONE:
        require(values[key] > 0, f"{where}.{key}", f"{values[key]} is below 1", "Give 1 or more")
    for key in FROM_ZERO:
        require(values[key] >= 0, f"{where}.{key}", f"{values[key]} is below 0", "Give 0 or more")
    for key, fix in ABOVE_ZERO.items():
        require(values[key] > 0, f"{where}.{key}", f"{values[key]} is not above 0", fix)
    seed, quantile = values["seed"], values["synthetic.audit_quantile"]
    share = values["synthetic.max_veto_share"]
    require(seed < SEEDS, f"{where}.seed", f"{seed} is above {SEEDS - 1}", "Give a smaller one")
    require(0 < quantile < 1, f"{where}.synthetic.audit_quantile", f"{quantile} is not in (0, 1)", "Give 0.01")
    delta = values["generator.branch_delta"]
    require(delta < 1, f"{where}.generator.branch_delta", f"{delta} is not below 1", "Give 0 or 1.0e-5")
    fall = values["guard.fall"]
    require(0 <= fall <= 1, f"{where}.guard.fall", f"{fall} is not in [0, 1]", "Give 0.3")
    for key, usual in AT_MOST_ONE.items():
        require(0 <= values[key] <= 1, f"{where}.{key}", f"{values[key]} is not in [0, 1]", f"Give {usual}")
    require(0 <= share <= 1, f"{where}.synthetic.max_veto_share", f"{share} is not in [0, 1]", "Give 0.5")


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_finite(entry) for entry in value)
    if isinstance(value, Mapping):
        return all(_is_finite(entry) for entry in value.values())
    return not isinstance(value, float) or math.isfinite(value)
