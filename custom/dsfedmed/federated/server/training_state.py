# SPDX-License-Identifier: Apache-2.0
"""Where a training run is: its weights, the best so far, its curve, and what it has spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from dsfedmed.algorithms.drift.generalisation_gap import GapAdjustment
from dsfedmed.algorithms.drift.server_optimizers import ServerOptimizer
from dsfedmed.algorithms.robust.bounded_mean import bounded_mean
from dsfedmed.exchange.reference import Reference
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.robust.standing import Standing
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.settings_sections import GuardSettings

STATISTICS = ("running_mean", "running_var")
"""Ends of the names of what normalisation layers count; no parameters."""
TENSORS = ("weights", "best", "reference", "optimizer", "average")
"""Parts of a training run's state that are tensors."""


class CurveEntry(TypedDict):
    """A round of the curve: its number, the steps so far, and Dice and loss by site (or validation set)."""

    round: int
    local_steps: int
    validation: dict[str, float]
    loss: dict[str, float]


@dataclass
class TrainingState:
    """Where a training run is after ``round`` rounds.

    Attributes:
        round: rounds done.
        steps: gradient steps taken so far: local ones, summed over the sites, and the server's (head start,
            distillation).
        weights: the global weights after that round, float32.
        best: the weights with the highest validation Dice over the source sites so far, to the last bit as the sites
            validated them. A round is better where the sites' gains have a bounded mean above 0 (`bounded_mean`).
        best_round: the round they come from.
        best_steps: gradient steps until then.
        best_dice: its plain mean, 0 to 1; -1 before the first validation.
        best_by_site: that Dice by validation set. Where sites come and go, two rounds are compared over the sets that
            both have, lest a round gain by the absence of a hard one.
        curve: one entry a round.
        reference: what the sites hold (see `dsfedmed.federated.server.downlink`).
        optimizer: state of the server's own optimiser, where it trains in the rounds (SAM-Fed's fusion) or takes
            every mean as a step (`ServerOptimizer`).
        average: mean of the global weights after the last ``averaged_rounds`` rounds, where the run averages them.
        averaged_rounds: how many rounds count in it so far.
        repaired: the round after which the server last repaired the mean.
        idle: the longest time so far, in rounds, that the validation has not risen.
        undone: rounds that the guard has undone.
        undone_since_best: how many of them since the validation last rose.
        collapsed: whether the guard has given up.
        standing: what the training remembers of its sites' updates.
        shares: weights of the sites in the last mean, where they follow the sites' gaps; they sum to 1.
        trained: validation Dice of what each site trained in the round before, at that site; likewise.
    """

    weights: Weights
    round: int = 0
    steps: int = 0
    best: Weights = field(default_factory=dict)
    best_round: int = 0
    best_steps: int = 0
    best_dice: float = -1.0
    best_by_site: dict[str, float] = field(default_factory=dict)
    curve: list[CurveEntry] = field(default_factory=list)
    reference: Reference = field(default_factory=Reference)
    optimizer: Weights = field(default_factory=dict)
    average: Weights = field(default_factory=dict)
    averaged_rounds: int = 0
    repaired: int = 0
    idle: int = 0
    undone: int = 0
    undone_since_best: int = 0
    collapsed: bool = False
    standing: Standing = field(default_factory=Standing)
    shares: dict[str, float] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)

    def validated(self, dice: dict[str, float], reference: Reference) -> float:
        """Take the validation of the weights that were sent: extend the curve, keep the best."""
        self.reference = reference
        mean = sum(dice.values()) / len(dice)
        if self.curve and self.curve[-1]["round"] == self.round:
            self.curve[-1]["validation"] = dice
        if self.rise(dice) > 0:
            self.best, self.best_dice, self.best_by_site = reference.weights, mean, dice
            self.best_round, self.best_steps = self.round, self.steps
            self.undone_since_best = 0
        self.idle = max(self.idle, self.round - self.best_round)
        return mean

    def rise(self, dice: dict[str, float]) -> float:
        """Return by how much ``dice`` is above the best so far, over the sets that both have; no one site decides."""
        common = dice.keys() & self.best_by_site.keys()
        if not common:
            return sum(dice.values()) / len(dice) - self.best_dice
        return bounded_mean([dice[name] - self.best_by_site[name] for name in sorted(common)])

    def undo_fall(self, dice: dict[str, float], guard: GuardSettings) -> bool:
        """Go back to the best weights where ``dice``, just validated, is too far below theirs; tell whether it did.

        Undone so often that ``guard.patience`` is used up, the training has collapsed.
        """
        if not guard.fall or -self.rise(dice) <= guard.fall:
            return False
        self.weights = dict(self.best)
        self.undone += 1
        self.undone_since_best += 1
        self.collapsed = self.undone_since_best >= guard.patience
        return True

    def add_steps(self, replies: Mapping[str, TrainReply]) -> None:
        """Count the steps of the round just done, and begin its entry of the curve."""
        self.steps += sum(reply.steps or 0 for reply in replies.values())
        loss = {site: float(reply.loss) for site, reply in replies.items() if reply.loss is not None}
        self.curve.append({"round": self.round, "local_steps": self.steps, "validation": {}, "loss": loss})

    def adjust_shares(
        self, adjustment: GapAdjustment, dice: Mapping[str, float], sites: Sequence[str], rounds: int
    ) -> None:
        """Let the weights of ``sites`` follow what the last mean, with the validation ``dice``, cost each of them."""
        gaps = {site: self.trained[site] - dice[site] for site in dice if site in self.trained}
        known = self.shares or dict.fromkeys(sites, 1 / len(sites))
        self.shares = adjustment.adjusted(known, gaps, self.round, rounds)

    def keep_trained(self, replies: Mapping[str, TrainReply]) -> None:
        """Keep the validation of what the sites trained, for the gap to the mean of these updates."""
        self.trained = {site: float(reply.trained) for site, reply in replies.items() if reply.trained is not None}

    def after_mean(self, mean: Weights, server: ServerOptimizer | None) -> Weights:
        """Return the weights after a round with this mean: what ``server`` makes of it, or the mean itself.

        Statistics of normalisation layers take the mean as it is.
        """
        if server is None:
            return mean
        parameters = {name: tensor for name, tensor in self.weights.items() if not name.endswith(STATISTICS)}
        stepped, self.optimizer = server.step(parameters, mean, self.optimizer)
        return {**mean, **stepped}

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
