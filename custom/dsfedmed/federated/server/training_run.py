# SPDX-License-Identifier: Apache-2.0
"""One federated training, round by round: the light network of DSFedMed, of FedAvg, or the teacher of FedSAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.drift.generalisation_gap import GapAdjustment
from dsfedmed.algorithms.drift.server_optimizers import ServerOptimizer
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.reference import Reference
from dsfedmed.exchange.tensors import Weights, under
from dsfedmed.federated.server.averaging import MeanOf, collected
from dsfedmed.federated.server.downlink import Broadcast, broadcast
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.robust.standing import Standing, refuse_by_form
from dsfedmed.federated.server.robust.trial import refuse_by_trial
from dsfedmed.federated.server.training_state import TENSORS, TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import JointSet, NetworkKind, RoundFacts, SoftLabelChoice
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.store.stage_store import StageResult

FROZEN_TEACHER = ("adapted", "low_rank")
"""Kinds whose frozen part lies at every site and does not travel."""


@dataclass(frozen=True)
class Beside:
    """What the sites learn from beside their own images: samples in steps of their own, pairs in the same steps."""

    synthetic: SoftLabelChoice | None = None
    joint: JointSet | None = None


NOTHING = Beside()
MakeRequest = Callable[[FederationPlan, "TrainingSpec", RoundFacts, Beside], object]
"""Makes the body of a round's request from the plan, the training run, the round, and what is learned besides."""


def train_request(plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, beside: Beside) -> TrainRequest:
    """Return the request of a plain round: train the network that travels."""
    init = plan.teacher_init if spec.network in FROZEN_TEACHER else None
    return TrainRequest(
        plan.common, facts, spec.network, plan.teacher_spec, init, spec.learning_rate, spec.proximal,
        beside.synthetic, beside.joint,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingSpec:
    """How a training run goes.

    Attributes:
        name: key of its curve and of its seeds.
        network: which network travels; of "adapted" and "low_rank" only what learns.
        learning_rate: the teacher's Adam rate (FedSAM, FedMSA); the light network's is its bundle's.
        proximal: FedProx's mu; 0 is plain FedAvg.
        task: what the sites do in a round.
        request: makes the body of that task's request.
        mean_of: how the sites' differences become one.
        validate: scores weights at the server, by name of the validation set; None: every site does, on its own part.
        sites: who trains; None for all source sites.
        average_rounds: the global weights after each of the last so many rounds count in their mean; 0 for no mean.
        public_steps: most gradient steps of a site in a round on images that are not its own (SAM-Fed's public set).
        more_epochs: passes of a round beside those of the settings.
        rounds: of the whole training, over which the learning rate falls; 0 for those of the settings.
        server: takes the mean as a step of its own; None: the mean is what the round gives.
        adjustment: weights of the mean that follow the sites' gaps; None: their image counts.
    """

    name: str
    network: NetworkKind = "light"
    learning_rate: float = 0.0
    proximal: float = 0.0
    task: Task[Any, Any] = TRAIN
    request: MakeRequest = train_request
    mean_of: MeanOf = WeightedMean
    validate: Callable[[Weights], dict[str, float]] | None = None
    sites: tuple[str, ...] | None = None
    average_rounds: int = 0
    public_steps: int = 0
    more_epochs: int = 0
    rounds: int = 0
    server: ServerOptimizer | None = None
    adjustment: GapAdjustment | None = None


def train_round(
    run: FederatedWorkflow,
    plan: FederationPlan,
    spec: TrainingSpec,
    state: TrainingState,
    beside: Beside = NOTHING,
) -> TrainingState:
    """One round: the sites validate the global weights, train on, and their updates are averaged.

    An update that cannot be one, or that harms the other sites, does not count. Where the validation fell too far, the
    guard undoes the round and what led to it.
    """
    facts = round_facts(run, plan, spec, state)
    counts = {site: plan.counts[site] for site in state.standing.asked(run, spec.sites or plan.counts)}
    with broadcast(run, spec.name, state.weights, state.reference) as sent:
        body = spec.request(plan, spec, replace(facts, reference=sent.move), beside)
        check, request = reply_check(plan, spec, facts), Envelope(body, sent.tensors)
        with collected(run, spec.task, request, state.weights, counts, check, spec.mean_of) as found:
            by_set = _dice(spec, sent, found.replies)
            found.shares = _shares(run, plan, spec, state, by_set)
            fall = -state.rise(by_set)
            doubtful = refuse_by_form(run, found, state.standing, facts.round)
            validate = partial(tried, run, plan, spec, facts)
            refuse_by_trial(run, found, state.standing, facts.round, fall, doubtful, validate)
            found.require_enough(run, spec.task.name)
            weights = state.after_mean(found.average(run), spec.server)
    dice, state.weights = state.validated(by_set, sent.reference), weights
    undone = state.undo_fall(by_set, run.settings.guard)
    state.round += 1
    if undone:
        state.optimizer = {} if spec.server else state.optimizer  # its memory led there
        _report_undone(run, spec, state, fall)
    else:
        state.take_into_average(run.settings.rounds, spec.average_rounds)
    counted = {site: reply.body for site, reply in found.replies.items() if site not in found.refused}
    state.add_steps(counted)
    if spec.adjustment is not None:
        state.keep_trained({} if undone else counted)
    run.track(f"{spec.name}/validation_dice", dice, state.round - 1)
    checkpoint(run, spec, state)
    return state


def tried(
    run: FederatedWorkflow,
    plan: FederationPlan,
    spec: TrainingSpec,
    facts: RoundFacts,
    weights: Weights,
    sites: list[str],
) -> dict[str, float]:
    """Let sites validate weights that may never be anybody's; they are sent whole, beside what the sites hold."""
    packed = pack(weights, run.settings.light.precision)
    if spec.validate:
        return spec.validate(unpack(packed))
    body = spec.request(plan, spec, replace(facts, epochs=0), NOTHING)
    request = Envelope(body, {WEIGHTS + name: tensor for name, tensor in packed.items()})
    check = partial(_require_validation, facts.round)
    replies = run.ask(spec.task, request, sites=sites, on_reply=check, at_least=0)
    return {site: reply.body.validation for site, reply in replies.items()}


def round_facts(run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, state: TrainingState) -> RoundFacts:
    """Return what the next round's request says of it; learning rate and gradient are ruled for the light network."""
    facts = plan.round_facts(spec.name, state.round + 1)
    if spec.network != "light":
        return facts
    return replace(facts, rules=plan.step_rules(state.round, spec.rounds or run.settings.rounds, state.undone))


def _report_undone(run: FederatedWorkflow, spec: TrainingSpec, state: TrainingState, fall: float) -> None:
    """Note that a round was undone: its validation lies by ``fall`` below the best so far."""
    slower = " at half the learning rate" if spec.network == "light" else ""
    fell = f"{spec.name}: the validation Dice fell by {fall:.3f} below the best so far"
    text = f"{fell}; undone, the sites continue from the weights of round {state.best_round}{slower}"
    run.record.event("undone", text, run.ledger.stage, state.round)
    run.progress.say(text)


def reply_check(plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts) -> Callable[[str, TrainReply], None]:
    """Return what refuses a reply that does not fit the round: another round, no loss, more steps than images allow."""

    def check(site: str, reply: TrainReply) -> None:
        if reply.round != facts.round:
            raise PayloadError(site, f"answered round {reply.round} instead of {facts.round}", SAME_VERSION)
        lacking = [name for name in ("loss", "steps") if getattr(reply, name) is None]
        if spec.validate is None and reply.validation is None:
            lacking.append("validation")
        if spec.adjustment is not None and reply.trained is None:
            lacking.append("validation of what it trained")
        if lacking:
            raise PayloadError(site, f"sent no {lacking[0]}", SAME_VERSION)
        passes = replace(facts, epochs=facts.epochs + spec.more_epochs)
        most = most_steps(plan.counts[site], passes) + spec.public_steps
        if reply.steps is not None and reply.steps > most:
            raise PayloadError(site, f"claims {reply.steps} gradient steps of at most {most}", SAME_VERSION)

    return check


def most_steps(images: int, facts: RoundFacts) -> int:
    """Return the most gradient steps that a round can take: two branches, a synthetic step beside each real one."""
    return 4 * facts.epochs * (images // facts.batch_size + 1)


def validate_training(run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, state: TrainingState) -> float:
    """Let the sites validate the present weights without training; return the mean Dice."""
    facts = plan.round_facts(spec.name, state.round, epochs=0)
    replies: dict[str, Envelope[TrainReply]] = {}
    with broadcast(run, spec.name, state.weights, state.reference) as sent:
        if spec.validate is None:
            body = spec.request(plan, spec, replace(facts, reference=sent.move), NOTHING)
            request, check = Envelope(body, sent.tensors), partial(_require_validation, facts.round)
            asked = state.standing.asked(run, spec.sites or run.sources)
            replies = run.ask(spec.task, request, sites=asked, on_reply=check)
    dice = state.validated(_dice(spec, sent, replies), sent.reference)
    checkpoint(run, spec, state)
    return dice


def _require_validation(number: int, site: str, reply: Envelope[TrainReply]) -> None:
    if reply.body.validation is None or reply.body.round != number:
        raise PayloadError(site, f"sent no validation of round {number}", SAME_VERSION)


def end_with_average(run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, state: TrainingState) -> None:
    """Go on with the mean of the last rounds, validated as a round is; no single round is chosen by its luck there."""
    state.weights = state.average
    dice = validate_training(run, plan, spec, state)
    state.choose_last()
    checkpoint(run, spec, state)
    run.progress.say(f"mean of the last {state.averaged_rounds} rounds: validation Dice {dice:.3f}")


def end_rounds(
    run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, state: TrainingState, last: bool
) -> None:
    """End stage "rounds" of sites without labels: the mean of the last rounds, else the ``last`` one, else the best."""
    validate_training(run, plan, spec, state)
    if state.averaged_rounds:
        end_with_average(run, plan, spec, state)
    elif last:
        state.choose_last()
    run.store.put("rounds", {})
    record_choice(run, spec.name, state)


def train_until(
    run: FederatedWorkflow,
    plan: FederationPlan,
    spec: TrainingSpec,
    state: TrainingState,
    done: Callable[[TrainingState], bool],
    rounds: int,
) -> TrainingState:
    """Plain FedAvg until ``done``; ``rounds`` is the expected number of rounds, for the progress line."""
    since = state.round
    while not (done(state) or state.collapsed):
        state = train_round(run, plan, spec, state)
        report(run, spec, state, rounds, since)
    validate_training(run, plan, spec, state)
    return state


def train_all_rounds(run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, start: Weights) -> TrainingState:
    """Stage "rounds" of a method whose rounds are all alike: resume or start, train, write down what was chosen."""
    rounds = run.settings.rounds
    with run.stage("rounds"):
        state = resume_or_start(run, spec, start)
        state = train_until(run, plan, spec, state, lambda now: now.round >= rounds, rounds)
        record_choice(run, spec.name, state)
        run.store.put("rounds", {})
    return state


def report(run: FederatedWorkflow, spec: TrainingSpec, state: TrainingState, rounds: int, since: int) -> None:
    """Write the round's progress line."""
    last = state.curve[-2]["validation"] if len(state.curve) > 1 else {}
    dice = " ".join(f"{site} {value * 100:.1f}" for site, value in last.items())
    run.progress.step(
        state.round, rounds, f"{spec.name} round {state.round}  validation Dice {dice or 'pending'}", since
    )


def record_choice(run: FederatedWorkflow, method: str, state: TrainingState) -> None:
    """Write down which round a method's network comes from, what the method spent in all, and whether it collapsed."""
    if state.collapsed or state.best_dice <= 0:
        what = "its validation fell again and again" if state.collapsed else "it marks nothing on any validation image"
        run.note_collapse(f"{method} collapsed: {what}. Lower the learning rate, or ramp it up (light.ramp_steps)")
    run.record.add("selected", **{method: state.selected()})
    run.record.add("budgets", **{method: {"rounds": state.round, "local_steps": state.steps}})


def checkpoint(run: FederatedWorkflow, spec: TrainingSpec, state: TrainingState) -> None:
    """Keep the training run's state, so that a restarted run goes on behind this round."""
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in state.optimizer.items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.items()}
    tensors |= {f"sketches/{name}": tensor for name, tensor in state.standing.sketches.items()}
    numbers = {key: value for key, value in vars(state).items() if key not in (*TENSORS, "standing")}
    numbers["standing"] = {key: value for key, value in vars(state.standing).items() if key != "sketches"}
    if state.reference.sha256:
        tensors |= {f"reference/{name}": tensor for name, tensor in state.reference.weights.items()}
        numbers["reference"] = {"sha256": state.reference.sha256, "master": state.reference.master}
    run.store.put(f"training-{spec.name}", numbers, tensors)
    run.record.add("curves", **{spec.name: state.curve})


def resume_or_start(run: FederatedWorkflow, spec: TrainingSpec, start: Weights, steps: int = 0) -> TrainingState:
    """Return the run's state from the store, or a new one at ``start``, which took ``steps`` gradient steps."""
    if not run.store.has(f"training-{spec.name}"):
        return TrainingState(start, steps=steps)
    kept: StageResult = run.store.get(f"training-{spec.name}")
    numbers = dict(kept.info)
    reference = Reference(under(kept.tensors, "reference/"), **numbers.pop("reference", {}))
    standing = Standing(**numbers.pop("standing"), sketches=under(kept.tensors, "sketches/"))
    parts: dict[str, Any] = {name: under(kept.tensors, f"{name}/") for name in TENSORS if name != "reference"}
    return TrainingState(**parts, reference=reference, standing=standing, **numbers)


def _shares(
    run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, state: TrainingState, dice: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the weights of the round's mean, given the last one's validation; nothing where they are the counts."""
    if spec.adjustment is None:
        return {}
    state.adjust_shares(spec.adjustment, dice, list(plan.counts), spec.rounds or run.settings.rounds)
    for site, share in state.shares.items():
        run.track(f"{spec.name}/share/{site}", share, state.round + 1)
    return state.shares


def _dice(spec: TrainingSpec, sent: Broadcast, replies: Mapping[str, Envelope[TrainReply]]) -> dict[str, float]:
    """Return the validation Dice of the weights that were sent, by validation set."""
    if spec.validate:
        return spec.validate(sent.reference.weights)
    return {site: reply.body.validation for site, reply in replies.items() if reply.body.validation is not None}
