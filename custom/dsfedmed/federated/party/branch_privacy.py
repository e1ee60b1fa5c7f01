# SPDX-License-Identifier: Apache-2.0
"""What a hospital insists on for its generator's branch: ``branch_privacy`` in its own ``dsfedmed.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsfedmed.errors import ConfigError
from dsfedmed.options import read_options
from dsfedmed.ranges import shortened

KEY = "branch_privacy"


@dataclass(frozen=True)
class BranchRule:
    """The bound; a job may ask for a tighter one, never for a looser one.

    Attributes:
        epsilon: most that one branch may cost, above 0.
        delta: probability for which epsilon is stated, below 1; 0: 1 / (10 n) with n patients.
        max_grad_norm: norm to which the gradient of each patient is cut; 0: what the job says, or 1.
        max_epsilon: most that all branches of the site may cost together, over all runs; 0: no bound.
    """

    epsilon: float
    delta: float = 0.0
    max_grad_norm: float = 0.0
    max_epsilon: float = 0.0


def read_branch_rule(value: Any, where: str) -> BranchRule | None:
    """Return the rule that ``dsfedmed.yaml`` holds; None where it holds none.

    Raises:
        ConfigError: an unknown key, no epsilon, or a number out of its range.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or "epsilon" not in value:
        reason = f"`{KEY}` must be a mapping with an epsilon, found {shortened(value)}"
        raise ConfigError(where, reason, f"Write `{KEY}: {{epsilon: 3}}`")
    rule = read_options(BranchRule, {str(key): _number(number) for key, number in value.items()}, f"{where}: {KEY}")
    good = {
        "epsilon": rule.epsilon > 0,
        "delta": 0 <= rule.delta < 1,
        "max_grad_norm": rule.max_grad_norm >= 0,
        "max_epsilon": rule.max_epsilon == 0 or rule.max_epsilon >= rule.epsilon,
    }
    wrong = [name for name, is_good in good.items() if not is_good]
    if wrong:
        reason = f"`{KEY}.{wrong[0]}` is {shortened(getattr(rule, wrong[0]))}, which is out of its range"
        fix = "Give an epsilon above 0, a delta below 1, and a max_epsilon that is not smaller than epsilon"
        raise ConfigError(where, reason, fix)
    return rule


def _number(value: Any) -> Any:
    """Return the number that YAML 1.1 takes for text: 1e-5 has no point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
