# SPDX-License-Identifier: Apache-2.0
"""Stage "rounds": FedAvg of the light network, with mutual distillation as the schedule says. The round of DSFedMed."""

from __future__ import annotations

from dsfedmed.federated.arm import (
    Arm,
    ArmState,
    end_with_average,
    open_arm,
    record_choice,
    report,
    save_arm,
    train_round,
    validate_arm,
)
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_tasks.networks import copied_tensors
from dsfedmed.federated.stages.distillation import Distillation
from dsfedmed.federated.stages.generators import Weights
from dsfedmed.federated.stages.head_start import Start
from dsfedmed.federated.stages.synthetic_set import SealedSet
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.settings import ScheduleSettings, Settings

NAME = "dsfedmed"


def light_arm(settings: Settings) -> Arm:
    """The light network's arm; with ``average_rounds`` the last of all rounds count in a mean."""
    return Arm(NAME, average_from=settings.average_from)


def start_weights(plan: Plan) -> Weights:
    """The light network's weights before the first round: the same for every method that is compared."""
    return copied_tensors(plan.light_network())


def distil_due(schedule: ScheduleSettings, done: int) -> bool:
    """Tell whether an interleaved distillation comes after ``done`` rounds."""
    beyond = done - schedule.warmup_rounds
    return schedule.order == "interleaved" and beyond >= 0 and beyond % schedule.every == 0


def distilled_rounds(
    flow: FederatedWorkflow, plan: Plan, sealed: SealedSet, teacher: Weights, start: Start
) -> tuple[ArmState, Weights]:
    """All rounds of DSFedMed from ``start``; every step of the light network counts, wherever it takes it.

    Returns:
        The arm with its best weights by source-site validation, and the teacher's weights after distillation.
    """
    schedule, total, arm = flow.settings.schedule, flow.settings.rounds, light_arm(flow.settings)
    with flow.stage("rounds"):
        state = open_arm(flow, arm, start.weights, start.steps)
        distillation = Distillation(flow, plan, sealed, teacher)
        since = state.round
        while state.round < total:
            if distil_due(schedule, state.round):
                state.weights = distillation.run(state.round, state.weights, schedule.epochs)
                state.steps += distillation.steps
            state = train_round(flow, plan, arm, state, distillation.send_soft_labels())
            report(flow, arm, state, total, since)
        validate_arm(flow, plan, arm, state)
        if state.averaged and state.round == total:
            end_with_average(flow, plan, arm, state)
        if schedule.order == "paper":
            _distil_at_the_end(flow, plan, arm, distillation, state)
        flow.store.put("rounds", {})
        record_choice(flow, NAME, state)
        return state, distillation.teacher


def _distil_at_the_end(
    flow: FederatedWorkflow, plan: Plan, arm: Arm, distillation: Distillation, state: ArmState
) -> None:
    """The paper's order: the source sites validate every epoch of the server's distillation, the best is kept."""
    last = flow.settings.rounds
    for number in range(max(state.round, last) + 1, last + flow.settings.schedule.epochs + 1):
        state.weights = distillation.run(number, state.weights, 1)
        state.round, state.steps = number, state.steps + distillation.steps
        if state.curve[-1]["round"] != number:
            state.curve.append({"round": number, "local_steps": state.steps, "validation": {}, "loss": {}})
        dice = validate_arm(flow, plan, arm, state)
        done = number - last
        flow.progress.step(done, flow.settings.schedule.epochs, f"distilled on the server, validation Dice {dice:.3f}")
    save_arm(flow, arm, state)
