# SPDX-License-Identifier: Apache-2.0
"""One federated training, round by round: the light network of DSFedMed, of FedAvg, or the teacher of FedSAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.exchange.reference import Reference
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.server.averaging import Mean, federated_average
from dsfedmed.federated.server.downlink import Broadcast, broadcast
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.stage_store import StageResult

Weights = dict[str, Tensor]
NetworkKind = Literal["light", "teacher", "adapted", "low_rank", "personal", "own"]
"""Which network: the light one; the teacher, whole, with FedMSA's adapters or with low-rank updates; a site's personal
branch (at sites without one, the global "low_rank") or a site's own light network (elsewhere, the server's)."""
FACTS = ("validation", "steps", "loss")
TENSORS = ("weights", "best", "reference", "optimizer", "average")
"""Parts of an arm's state that are tensors."""
FROZEN_TEACHER = ("adapted", "low_rank", "personal")
"""Kinds whose frozen part lies at every site and does not travel."""


@dataclass
class TrainingState:
    """Where an arm stands after ``round`` rounds.

    Attributes:
        round: rounds done.
        steps: gradient steps taken so far: local ones, summed over the sites, and the server's (head start,
            distillation).
        weights: the global weights after that round, float32.
        best: the weights with the highest mean validation Dice over the source sites so far, to the last bit as the
            sites validated them.
        best_round: the round they come from.
        best_steps: gradient steps until then.
        best_dice: that Dice, 0 to 1; -1 before the first validation.
        curve: one entry a round.
        reference: what the sites hold (see `dsfedmed.federated.server.downlink`).
        optimizer: state of the server's own optimiser, where it trains in the rounds (SAM-Fed's fusion).
        average: mean of the global weights after the last ``averaged_rounds`` rounds, where the arm averages them.
        averaged_rounds: how many rounds count in it so far.
    """

    weights: Weights
    round: int = 0
    steps: int = 0
    best: Weights = field(default_factory=dict)
    best_round: int = 0
    best_steps: int = 0
    best_dice: float = -1.0
    curve: list[dict[str, Any]] = field(default_factory=list)
    reference: Reference = field(default_factory=Reference)
    optimizer: Weights = field(default_factory=dict)
    average: Weights = field(default_factory=dict)
    averaged_rounds: int = 0

    def validated(self, dice: dict[str, float], reference: Reference) -> float:
        """Take the validation of the weights that were sent: extend the curve, keep the best."""
        self.reference = reference
        mean = sum(dice.values()) / len(dice)
        if self.curve and self.curve[-1]["round"] == self.round:
            self.curve[-1]["validation"] = dice
        if mean > self.best_dice:
            self.best, self.best_dice = reference.weights, mean
            self.best_round, self.best_steps = self.round, self.steps
        return mean

    def take_into_average(self, rounds: int, average_rounds: int) -> None:
        """In the last ``average_rounds`` of all ``rounds``, let the present weights count in the mean, each alike."""
        if not average_rounds or self.round <= rounds - average_rounds:
            return
        self.averaged_rounds += 1
        known = self.average or self.weights
        self.average = {n: known[n] + (tensor - known[n]) / self.averaged_rounds for n, tensor in self.weights.items()}

    def choose_last(self) -> None:
        """Take the last round that was validated, whatever its Dice, as the best."""
        self.best, self.best_round, self.best_steps = self.reference.weights, self.round, self.steps
        self.best_dice = sum(self.curve[-1]["validation"].values()) / len(self.curve[-1]["validation"])

    def selected(self) -> dict[str, Any]:
        """Return what the record says of the chosen round."""
        chosen = {"round": self.best_round, "local_steps": self.best_steps, "validation_dice": self.best_dice}
        return chosen | ({"averaged_rounds": self.averaged_rounds} if self.averaged_rounds else {})


@dataclass(frozen=True)
class TrainingSpec:
    """How an arm trains.

    Attributes:
        name: key of its curve and of its seeds.
        network: which network travels; of "adapted" and "low_rank" only what learns.
        learning_rate: the teacher's Adam rate (FedSAM, FedMSA, pFedSAM); the light network's stands in its bundle.
        proximal: FedProx's mu; 0 is plain FedAvg.
        task: what the sites do in a round.
        extra: what the task's request says besides.
        mean_of: how the sites' differences become one.
        validate: scores weights at the server, by name of the validation set; None: every site does, on its own part.
        sites: who trains; None for all source sites.
        average_rounds: the global weights after each of the last so many rounds of the run count in their mean; 0 for
            no mean (``schedule.average_rounds``).
    """

    name: str
    network: NetworkKind = "light"
    learning_rate: float = 0.0
    proximal: float = 0.0
    task: str = "dsf_train"
    extra: Mapping[str, Any] = field(default_factory=dict)
    mean_of: Callable[[Mapping[str, Tensor]], Mean] = WeightedMean
    validate: Callable[[Weights], dict[str, float]] | None = None
    sites: tuple[str, ...] | None = None
    average_rounds: int = 0


def train_round(
    run: FederatedWorkflow,
    plan: FederationPlan,
    arm: TrainingSpec,
    state: TrainingState,
    synthetic: dict[str, Any] | None = None,
) -> TrainingState:
    """One round: the sites validate the global weights, train on, and their updates are averaged."""
    with broadcast(run, arm.name, state.weights, state.reference) as sent:
        request = _request(plan, arm, state.round + 1, run.settings.light.epochs_per_round, synthetic, sent)
        weights, replies = federated_average(
            run, arm.task, request, state.weights, plan.counts, _facts(arm), arm.mean_of, arm.sites
        )
    dice = state.validated(_dice(arm, sent, replies), sent.reference)
    state.weights = weights
    state.round += 1
    state.take_into_average(run.settings.rounds, arm.average_rounds)
    state.steps += sum(int(reply.info["steps"]) for reply in replies.values())
    loss = {site: float(reply.info["loss"]) for site, reply in replies.items()}
    state.curve.append({"round": state.round, "local_steps": state.steps, "validation": {}, "loss": loss})
    run.track(f"{arm.name}/validation_dice", dice, state.round - 1)
    checkpoint(run, arm, state)
    return state


def validate_training(run: FederatedWorkflow, plan: FederationPlan, arm: TrainingSpec, state: TrainingState) -> float:
    """Let the sites validate the present weights without training; return the mean Dice."""
    with broadcast(run, arm.name, state.weights, state.reference) as sent:
        request = _request(plan, arm, state.round, 0, None, sent)
        replies = {} if arm.validate else run.ask(arm.task, request, sites=arm.sites)
    dice = state.validated(_dice(arm, sent, replies), sent.reference)
    checkpoint(run, arm, state)
    return dice


def end_with_average(run: FederatedWorkflow, plan: FederationPlan, arm: TrainingSpec, state: TrainingState) -> None:
    """Go on with the mean of the last rounds, validated as a round is; no single round is chosen by its luck there."""
    state.weights = state.average
    dice = validate_training(run, plan, arm, state)
    state.choose_last()
    checkpoint(run, arm, state)
    run.progress.say(f"mean of the last {state.averaged_rounds} rounds: validation Dice {dice:.3f}")


def train_until(
    run: FederatedWorkflow,
    plan: FederationPlan,
    arm: TrainingSpec,
    state: TrainingState,
    done: Callable[[TrainingState], bool],
    rounds: int,
) -> TrainingState:
    """Plain FedAvg until ``done``; ``rounds`` is the expected number of rounds, for the progress line."""
    since = state.round
    while not done(state):
        state = train_round(run, plan, arm, state)
        report(run, arm, state, rounds, since)
    validate_training(run, plan, arm, state)
    return state


def report(run: FederatedWorkflow, arm: TrainingSpec, state: TrainingState, rounds: int, since: int) -> None:
    """Write the round's progress line."""
    last = state.curve[-2]["validation"] if len(state.curve) > 1 else {}
    dice = " ".join(f"{site} {value * 100:.1f}" for site, value in last.items())
    run.progress.step(
        state.round, rounds, f"{arm.name} round {state.round}  validation Dice {dice or 'pending'}", since
    )


def record_choice(run: FederatedWorkflow, method: str, state: TrainingState) -> None:
    """Write down which round a method's network comes from, and what the method spent in all."""
    run.record.add("selected", **{method: state.selected()})
    run.record.add("budgets", **{method: {"rounds": state.round, "local_steps": state.steps}})


def checkpoint(run: FederatedWorkflow, arm: TrainingSpec, state: TrainingState) -> None:
    """Keep the arm's state, so that a restarted run goes on behind this round."""
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in state.optimizer.items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.items()}
    numbers = {key: value for key, value in vars(state).items() if key not in TENSORS}
    if state.reference.sha256:
        tensors |= {f"reference/{name}": tensor for name, tensor in state.reference.weights.items()}
        numbers["reference"] = {"sha256": state.reference.sha256, "master": state.reference.master}
    run.store.put(f"arm-{arm.name}", numbers, tensors)
    run.record.add("curves", **{arm.name: state.curve})


def resume_or_start(run: FederatedWorkflow, arm: TrainingSpec, start: Weights, steps: int = 0) -> TrainingState:
    """Return the arm's state from the store, or a new one at ``start``, which took ``steps`` gradient steps."""
    if not run.store.has(f"arm-{arm.name}"):
        return TrainingState(start, steps=steps)
    kept: StageResult = run.store.get(f"arm-{arm.name}")
    numbers = dict(kept.info)
    reference = Reference(under(kept.tensors, "reference/"), **numbers.pop("reference", {}))
    parts: dict[str, Any] = {name: under(kept.tensors, f"{name}/") for name in TENSORS if name != "reference"}
    return TrainingState(**parts, reference=reference, **numbers)


def _facts(arm: TrainingSpec) -> tuple[str, ...]:
    return FACTS[1:] if arm.validate else FACTS


def _dice(arm: TrainingSpec, sent: Broadcast, replies: Mapping[str, Message]) -> dict[str, float]:
    """Return the validation Dice of the weights that were sent, by validation set."""
    if arm.validate:
        return arm.validate(sent.reference.weights)
    return {site: float(reply.info["validation"]) for site, reply in replies.items()}


def _request(
    plan: FederationPlan, arm: TrainingSpec, number: int, epochs: int, synthetic: dict[str, Any] | None, sent: Broadcast
) -> Message:
    settings = plan.settings.light
    info = {
        **plan.common,
        "arm": arm.name,
        "network": arm.network,
        "teacher": plan.teacher_spec,
        "teacher_init": plan.teacher_init if arm.network in FROZEN_TEACHER else None,
        "learning_rate": arm.learning_rate,
        "proximal": arm.proximal,
        "round": number,
        "epochs": epochs,
        "batch_size": settings.batch_size,
        "keep_optimizer": settings.keep_optimizer,
        "synthetic": synthetic,
        **arm.extra,
        **sent.info,
    }
    return Message(info, sent.tensors)
