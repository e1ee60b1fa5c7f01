# SPDX-License-Identifier: Apache-2.0
"""How long a generator base is trained, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dsfedmed.options import require


@dataclass(frozen=True)
class BaseTraining:
    """How long a base is trained, and where; what it is stands in a `GeneratorConfig`.

    Attributes:
        steps: gradient steps at most.
        minutes: wall-clock limit; the learning rate then falls with the clock if that is the tighter limit, which makes
            the result depend on the machine's speed. None: the steps alone decide and the training is replayable.
        seed: seed of weights, order, noise and looks.
        device: torch device.

    Raises:
        ConfigError: fewer steps than one, no time, or a seed below 0.
    """

    steps: int = 900
    minutes: float | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        require(self.steps > 0, "pretrain steps", f"{self.steps} is not positive", "Give 1 or more")
        require(self.seed >= 0, "pretrain seed", f"{self.seed} is below 0", "Give 0 or more")
        if self.minutes is not None:
            usable = math.isfinite(self.minutes) and self.minutes > 0
            require(usable, "pretrain minutes", f"{self.minutes} is not positive", "Leave it out for no limit")
