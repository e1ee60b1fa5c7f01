# SPDX-License-Identifier: Apache-2.0
"""Stage "compare": the other methods, on the same split, seed and start weights. Their bytes are counted apart."""

from __future__ import annotations

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, require_fits, unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of, under
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import centralised
from dsfedmed.federated.server.stages.global_branch import start_global
from dsfedmed.federated.server.stages.teacher import start_teacher
from dsfedmed.federated.server.training_run import TrainingSpec, record_choice, resume_or_start, train_until
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import LocalReply, LocalRequest
from dsfedmed.federated.wire.tasks import LOCAL
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.settings_sections import CompareSettings
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.step_rules import StepRules


def compared_stages(asked: CompareSettings) -> tuple[str, ...]:
    """Name the stages of `compare`, in order."""
    stages = {
        "compare fedavg": asked.fedavg or asked.equal_steps,
        "compare equal steps": asked.equal_steps,
        "compare fedprox": asked.fedprox,
        "compare local": asked.local,
        "compare centralised": asked.centralised,
        "compare fedsam": asked.fedsam,
        "compare fedmsa": asked.fedmsa,
        "compare fedlora": asked.fedlora,
        "compare local_lora": asked.local_lora,
    }
    return tuple(name for name, is_wanted in stages.items() if is_wanted)


def compare(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> dict[str, ScoredModel]:
    """Train what the settings ask for and return it by method name (``local@SITE`` and the like for a site alone)."""
    scored: dict[str, ScoredModel] = {}
    asked, rounds = run.settings.compare, compared_rounds(run, plan, ours)
    if asked.fedavg or asked.equal_steps:
        scored |= _fedavg(run, plan, ours)
    if asked.fedprox:
        scored["fedprox"] = _fedprox(run, plan, rounds)
    if asked.local:
        scored |= _local(run, plan, rounds)
    if asked.centralised:
        result = run.once("compare centralised", lambda: centralised(run, plan, rounds), "comparison")
        scored["centralised"] = ScoredModel(result.tensors)
    if asked.fedsam:
        scored["fedsam"] = _fedsam(run, plan, rounds)
    if asked.fedmsa:
        scored["fedmsa"] = _fedmsa(run, plan, rounds)
    if asked.fedlora:
        scored["fedlora"] = _fedlora(run, plan, rounds)
    if asked.local_lora:
        scored |= _local_lora(run, plan, rounds)
    return scored


def _fedavg(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> dict[str, ScoredModel]:
    """FedAvg at equal rounds; then the same run continues to equal local gradient steps."""
    rounds = compared_rounds(run, plan, ours)
    spec, scored = TrainingSpec("fedavg", rounds=rounds), {}
    equal = run.store.has("compare fedavg")
    with run.stage("compare fedavg", "comparison"):
        state = resume_or_start(run, spec, plan.start_weights())
        if equal:
            scored["fedavg"] = ScoredModel(run.store.get("compare fedavg").tensors)
        else:
            state = train_until(run, plan, spec, state, lambda now: now.round >= rounds, rounds)
            run.store.put("compare fedavg", state.selected(), state.best)
            scored["fedavg"] = ScoredModel(state.best)
            record_choice(run, "fedavg", state)
    if run.settings.compare.equal_steps:
        with run.stage("compare equal steps", "comparison"):
            rounds = max(rounds_at_equal_steps(run, plan, ours), state.round)
            if run.settings.light.rate_schedule != "constant" and rounds > state.round:
                # A learning rate that falls over more rounds is another training from the start on.
                spec = TrainingSpec("fedavg_equal_steps", rounds=rounds)
                state = resume_or_start(run, spec, plan.start_weights())
            if state.steps < ours.steps or not run.store.has("compare equal steps"):
                state = train_until(run, plan, spec, state, lambda now: now.steps >= ours.steps, rounds)
            scored["fedavg_equal_steps"] = ScoredModel(state.best)
            record_choice(run, "fedavg_equal_steps", state)
            run.store.put("compare equal steps", {})
    return scored


def rounds_at_equal_steps(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> int:
    """Return in how many rounds all sites together take as many gradient steps as ``ours`` took, at least 1."""
    light = run.settings.light
    per_round = sum(light.epochs_per_round * -(-count // light.batch_size) for count in plan.counts.values())
    return max(-(-ours.steps // per_round), 1)


def compared_rounds(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> int:
    """Return the rounds of what is compared: the run's, or in one shot as many as make equal steps."""
    return run.settings.rounds or rounds_at_equal_steps(run, plan, ours)


def _at_equal_rounds(run: FederatedWorkflow, plan: FederationPlan, spec: TrainingSpec, start: Weights) -> ScoredModel:
    """Train from ``start`` for as many rounds as ``spec`` says."""
    with run.stage(f"compare {spec.name}", "comparison"):
        rounds, state = spec.rounds, resume_or_start(run, spec, start)
        if not run.store.has(f"compare {spec.name}"):
            state = train_until(run, plan, spec, state, lambda now: now.round >= rounds, rounds)
        record_choice(run, spec.name, state)
        run.store.put(f"compare {spec.name}", {})
        return ScoredModel(state.best, spec.network)


def _fedprox(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> ScoredModel:
    """FedProx: FedAvg whose sites are held near the round's start (Li et al., MLSys 2020)."""
    spec = TrainingSpec("fedprox", proximal=run.settings.compare.fedprox_mu, rounds=rounds)
    return _at_equal_rounds(run, plan, spec, plan.start_weights())


def _local(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> dict[str, ScoredModel]:
    """Each site alone, with as many epochs as FedAvg has at equal rounds."""
    light = run.settings.light
    rules = StepRules(1.0, light.ramp_steps, light.clip_norm)
    body = LocalRequest(plan.common, rounds * light.epochs_per_round, light.batch_size, light.rate_schedule, rules)
    return _alone(run, "local", body, plan.start_weights())


def _local_lora(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> dict[str, ScoredModel]:
    """Low-rank updates of the teacher and its decoder at each site alone, with as many epochs as FedAvg-LoRA has."""
    light, rate = run.settings.light, run.settings.compare.lora_learning_rate
    body = LocalRequest(
        plan.common, rounds * light.epochs_per_round, light.batch_size, network="low_rank",
        teacher=plan.teacher_spec, teacher_init=plan.teacher_init, learning_rate=rate,
    )  # fmt: skip
    return _alone(run, "local_lora", body, start_global(run, plan))


def _alone(run: FederatedWorkflow, name: str, body: LocalRequest, start: Weights) -> dict[str, ScoredModel]:
    """Let each site train alone from ``start``; the networks are sent to be scored at their site and at unseen ones."""

    def make() -> StageResult:
        specs, precision = specs_of(start), run.settings.light.precision
        networks: Weights = {}

        def take(site: str, reply: Envelope[LocalReply]) -> None:
            if reply.body.epoch > body.epochs:
                reason = f"claims its best epoch was {reply.body.epoch} of {body.epochs}"
                raise PayloadError(site, reason, SAME_VERSION)
            weights = unpack(check_tensors(reply.tensors, specs, site))
            require_fits(weights.items(), precision, site)  # it is sent to be scored
            networks.update({f"{site}/{key}": tensor for key, tensor in weights.items()})

        packed = {f"{WEIGHTS}{key}": tensor for key, tensor in pack(start, precision).items()}
        replies = run.ask(LOCAL, Envelope(body, packed), on_reply=take)
        facts = {site: {"epoch": r.body.epoch, "steps": r.body.steps} for site, r in replies.items()}
        return StageResult({"sites": facts}, networks)

    result = run.once(f"compare {name}", make, "comparison")
    return {
        f"{name}@{site}": ScoredModel(under(result.tensors, f"{site}/"), body.network, (site, *run.unseen))
        for site in result.info["sites"]
    }


def _fedsam(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> ScoredModel:
    """FedSAM: the teacher itself is federated, every parameter of it (FedFMS, MICCAI 2024)."""
    spec = TrainingSpec("fedsam", "teacher", run.settings.compare.fedsam_learning_rate, rounds=rounds)
    return _at_equal_rounds(run, plan, spec, dict(start_teacher(run, plan)[0].state_dict()))


def _fedmsa(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> ScoredModel:
    """FedMSA: adapters and mask decoder of the teacher are federated, the rest lies frozen at every site (FedFMS)."""
    spec = TrainingSpec("fedmsa", "adapted", run.settings.compare.fedmsa_learning_rate, rounds=rounds)
    return _at_equal_rounds(run, plan, spec, copied_tensors(add_adapters(start_teacher(run, plan)[0])))


def _fedlora(run: FederatedWorkflow, plan: FederationPlan, rounds: int) -> ScoredModel:
    """FedAvg-LoRA: low-rank updates of the teacher and its decoder, the factors averaged apart (arXiv 2305.05644)."""
    spec = TrainingSpec("fedlora", "low_rank", run.settings.compare.lora_learning_rate, rounds=rounds)
    return _at_equal_rounds(run, plan, spec, start_global(run, plan))
