# SPDX-License-Identifier: Apache-2.0
"""The rule: what paired differences with their intervals say of two methods, and which of the two to use.

A difference is clear where its 95 % interval does not contain 0. Clear ones decide; where there is none, the method
that costs fewer bytes is used. Where clear ones contradict each other, nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["better", "worse", "unclear", "mixed", "not said"]
Side = Literal["method", "baseline"]


@dataclass(frozen=True)
class Difference:
    """Method minus baseline on the same images, in Dice points, with its 95 % interval.

    Attributes:
        mean: over the images.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 where the method is clearly better, -1 where it is clearly worse, 0 otherwise."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Choice:
    """What is said.

    Attributes:
        outcome: of the method against its baseline.
        use: which of the two; None where the figures do not say.
    """

    outcome: Outcome
    use: Side | None


def choose(differences: Mapping[str, Difference], cost: tuple[float, float] | None) -> Choice:
    """Return which of two methods to use.

    Args:
        differences: by group of sites ("seen", "unseen"); groups that were not compared are left out.
        cost: bytes of the method and of the baseline; None where they were not recorded. Of equal ones it is the
            baseline.
    """
    if not differences:
        return Choice("not said", None)
    signs = {difference.sign for difference in differences.values()}
    if {1, -1} <= signs:
        return Choice("mixed", None)
    if 1 in signs:
        return Choice("better", "method")
    if -1 in signs:
        return Choice("worse", "baseline")
    if cost is None:
        return Choice("unclear", None)
    return Choice("unclear", "method" if cost[0] < cost[1] else "baseline")
