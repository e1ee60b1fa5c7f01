# SPDX-License-Identifier: Apache-2.0
"""Stage "rounds": FedAvg of the light network, with mutual distillation as the schedule says. The round of DSFedMed."""

from __future__ import annotations

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.refit import Refit
from dsfedmed.federated.server.stages.distillation import Distillation
from dsfedmed.federated.server.stages.head_start import Start
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.server.training_run import (
    TrainingSpec,
    checkpoint,
    end_with_average,
    record_choice,
    report,
    resume_or_start,
    train_round,
    validate_training,
)
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.settings import Settings

NAME = "dsfedmed"


def light_training(settings: Settings) -> TrainingSpec:
    """The light network's spec; with ``average_rounds`` the last of all rounds count in a mean."""
    return TrainingSpec(NAME, average_rounds=settings.schedule.average_rounds)


def distilled_rounds(
    run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, teacher: Weights, start: Start
) -> tuple[TrainingState, Weights]:
    """All rounds of DSFedMed from ``start``; every step of the light network counts, wherever it takes it.

    Returns:
        The spec with its best weights by source-site validation, and the teacher's weights after distillation.
    """
    schedule, total, spec = run.settings.schedule, run.settings.rounds, light_training(run.settings)
    with run.stage("rounds"):
        state = resume_or_start(run, spec, start.weights, start.steps)
        distillation = Distillation(run, plan, sealed, teacher)
        refit = Refit(run, plan, sealed, teacher) if run.settings.refit.steps else None
        since = state.round
        _repair(run, spec, refit, state)  # where a run was interrupted between a mean and its repair
        while state.round < total and not state.collapsed:
            if schedule.distils_after(state.round):
                state.weights = distillation.distil(state.round, state.weights, schedule.epochs)
                state.steps += distillation.steps
            state = train_round(run, plan, spec, state, distillation.beside())
            _repair(run, spec, refit, state)
            report(run, spec, state, total, since)
        validate_training(run, plan, spec, state)
        if state.averaged_rounds and state.round == total:
            end_with_average(run, plan, spec, state)
        if schedule.order == "paper":
            _distil_at_the_end(run, plan, spec, distillation, state)
        run.store.put("rounds", {})
        record_choice(run, NAME, state)
        _record_distillations(run, state)
        return state, distillation.teacher


def _record_distillations(run: FederatedWorkflow, state: TrainingState) -> None:
    """Write down how many distillations the chosen network has behind it, and say so where there is none."""
    behind = run.settings.schedule.distillations_before(state.best_round, run.settings.rounds)
    run.record.add("selected", **{NAME: {**state.selected(), "distillations": behind}})
    if not behind:
        run.progress.say(f"the chosen network, of round {state.best_round}, is from before any mutual distillation")


def _repair(run: FederatedWorkflow, spec: TrainingSpec, refit: Refit | None, state: TrainingState) -> None:
    """Let the server repair the mean of the round just done, if it does so and has not yet."""
    if refit and refit.repair(state):
        checkpoint(run, spec, state)


def _distil_at_the_end(
    run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, distillation: Distillation, state: TrainingState
) -> None:
    """The paper's order: the source sites validate every epoch of the server's distillation, the best is kept."""
    last = run.settings.rounds
    for number in range(max(state.round, last) + 1, last + run.settings.schedule.epochs + 1):
        state.weights = distillation.distil(number, state.weights, 1)
        state.round, state.steps = number, state.steps + distillation.steps
        if state.curve[-1]["round"] != number:
            state.curve.append({"round": number, "local_steps": state.steps, "validation": {}, "loss": {}})
        dice = validate_training(run, plan, spec, state)
        done = number - last
        run.progress.step(done, run.settings.schedule.epochs, f"distilled on the server, validation Dice {dice:.3f}")
    checkpoint(run, spec, state)
