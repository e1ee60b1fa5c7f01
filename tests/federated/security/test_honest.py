# SPDX-License-Identifier: Apache-2.0
"""The federation that the other tests disturb: undisturbed it is complete, and every task there is takes part in it."""

from __future__ import annotations

from dsfedmed.federated.wire.tasks import SOFT_LABELS, TASKS
from tests.federated.security.federation import Outcome

KINDS = ("vetoed", "stands out")
"""What honest sites may be told of: their own choice, and devices that differ."""


def test_honest_sites_end_every_run_without_a_fault(honest: dict[str, Outcome]) -> None:
    for case, outcome in honest.items():
        assert outcome.verdict == "complete", case
        assert [event for event in outcome.record["events"] if event["kind"] not in KINDS] == [], case


def test_every_task_is_asked_and_answered(honest: dict[str, Outcome]) -> None:
    asked = {task for outcome in honest.values() for task, _ in outcome.deeds.requests}
    answered = {task for outcome in honest.values() for task, _ in outcome.deeds.replies}
    assert asked == answered == set(TASKS)
    assert SOFT_LABELS.name in asked
