# SPDX-License-Identifier: Apache-2.0
"""How a learning rate moves: over the rounds of a federation, and over the first steps of a call."""

from __future__ import annotations

import math
from typing import Literal

RateSchedule = Literal["constant", "cosine"]
Fade = Literal["fixed", "annealed", "validated"]
"""How the server's repair of the mean fades over the rounds."""


def rate_over_rounds(schedule: RateSchedule, done: int, total: int) -> float:
    """Return the factor of the learning rate, in [0, 1], after ``done`` of ``total`` rounds.

    "constant" is 1. "cosine" is (1 + cos(pi done / total)) / 2 (Loshchilov and Hutter, ICLR 2017, without restarts),
    by whole rounds: 1 in the first, above 0 in the last, and as in the last for rounds beyond ``total``.

    Raises:
        ValueError: ``done`` below 0, or ``total`` below 1.
    """
    if done < 0 or total < 1:
        raise ValueError(f"{done} of {total} rounds")
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * min(done, total - 1) / total)) / 2


def faded_steps(fade: Fade, steps: int, done: int, total: int, idle: int, patience: int) -> int:
    """Return how many gradient steps repair the mean after round ``done`` of ``total``.

    Args:
        fade: "fixed" takes ``steps`` every time, "annealed" round(steps (1 - done / total)), which is 0 after the last
            round, "validated" ``steps`` until the validation has not risen for ``patience`` rounds, then 0 for good.
        steps: after the first mean.
        done: rounds done, from 1.
        total: rounds in all.
        idle: longest time so far, in rounds, that the validation has not risen.
        patience: of "validated".
    """
    if fade == "annealed":
        return round(steps * (1 - min(done, total) / total))
    return 0 if fade == "validated" and idle >= patience else steps


def ramp(step: int, steps: int) -> float:
    """Return the factor of the learning rate at ``step`` (from 0): it rises by 1 / ``steps`` a step, from there to 1.

    A fresh adaptive optimiser takes steps of full length before its moments mean anything; a ramp bounds them.
    """
    return 1.0 if steps <= 0 else min(1.0, (step + 1) / steps)
