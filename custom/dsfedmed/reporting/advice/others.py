# SPDX-License-Identifier: Apache-2.0
"""Whether another model of the run was clearly better than what the pair of method and baseline comes to.

The same rule (`rule.choose`): clearly better on one group of hospitals, on the same images, and clearly worse on none.
Every interval is for itself: of many models one may look better by chance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dsfedmed.reporting.advice.rule import Difference, choose
from dsfedmed.reporting.comparison import differences
from dsfedmed.reporting.record import Record

NO_CHOICE = ("centralised", "teacher_before", "teacher", "public_teacher")
"""Models that hospitals cannot choose instead: of all images in one place, and the SAM that stays at the server."""


def best_other(record: Record, than: Collection[str]) -> tuple[str, dict[str, Difference]] | None:
    """Return the model that was clearly better than all of ``than``, with its differences from the first of them.

    Of several it is the one whose gain is the greatest in the mean of the groups.

    Args:
        record: of the run.
        than: keys of models; they and untrained ones are not looked at.
    """
    left_out = {*than, *NO_CHOICE, *record.untrained}
    found = {}
    for key in record.cases:
        if key in left_out:
            continue
        against = [_differences(record, key, other) for other in than]
        if all(choose(groups, None).outcome == "better" for groups in against):
            found[key] = against[0]
    best = max(found, key=lambda key: _gain(found[key]), default=None)
    return None if best is None else (best, found[best])


def _differences(record: Record, ours: str, theirs: str) -> dict[str, Difference]:
    """Return the Dice differences by group, in points; a group whose images are not the same is left out."""
    groups = {"seen": record.sites, "unseen": record.unseen}
    found = {name: differences(record, ours, theirs, sites, ("dice",)) for name, sites in groups.items()}
    return {
        name: Difference(value["dice"]["mean"], value["dice"]["low"], value["dice"]["high"])
        for name, value in found.items()
        if value is not None
    }


def _gain(groups: Mapping[str, Difference]) -> float:
    return sum(group.mean for group in groups.values()) / len(groups)
