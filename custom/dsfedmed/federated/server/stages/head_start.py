# SPDX-License-Identifier: Apache-2.0
"""Stage "head start": the server's teacher and the sealed set teach the light network before the first round."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.distillation.soft_labels import SoftLabelOptions, teacher_soft_labels
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import TrainingTask

STAGE = "head start"


@dataclass(frozen=True)
class Start:
    """The light network before the first round, and the gradient steps the server has spent on it."""

    weights: Weights
    steps: int = 0


def head_start(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, teacher: Weights) -> Start:
    """Train the light network on the whole sealed set, masks and the teacher's soft labels; nothing travels."""
    steps = run.settings.schedule.head_start_steps

    def make() -> StageResult:
        network = plan.light_network().to(run.config.device)
        bundle, light, facts = plan.light_bundle, run.settings.light, plan.facts
        task = TrainingTask(
            facts.num_classes, facts.nested, bundle.loss(), bundle.augmentation(), light.batch_size, light.autocast,
            where=STAGE,
        )  # fmt: skip

        def report(done: int, total: int, loss: float) -> None:
            if done % 50 == 0 or done == total:
                run.progress.step(done, total, f"loss {loss:.4f}")

        seconds = train_on_synthetic(
            network,
            bundle.optimizer(network.parameters()),
            _source(run, plan, sealed, teacher),
            task,
            _pace(run.settings),
            derive_seed(run.settings.seed, STAGE),
            report,
        )
        return StageResult({"steps": steps, "seconds": seconds}, copied_tensors(network))

    return Start(run.once(STAGE, make).tensors, steps)


def _pace(settings: Settings) -> HeadStart:
    """Return steps, rate and rules of the head start."""
    schedule = settings.schedule
    rules = StepRules(ramp_steps=schedule.head_start_ramp_steps, clip_norm=settings.light.clip_norm)
    return HeadStart(schedule.head_start_steps, schedule.head_start_learning_rate, rules=rules)


def _source(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, weights: Weights) -> SyntheticSource:
    """Return every kept pair, with the adapted teacher's soft labels where they count."""
    schedule = run.settings.schedule
    return synthetic_pairs(run, plan, sealed, weights, schedule.site_supervised_weight, schedule.site_kl_weight)


def synthetic_pairs(
    run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, weights: Weights, supervised: float, kl: float
) -> SyntheticSource:
    """Return every kept pair, with the soft labels of the teacher of these ``weights`` unless ``kl`` is 0."""
    images, labels = sealed.pool.images(), sealed.pool.labels()
    if not kl:
        return SyntheticSource(images, labels, None, supervised, 0.0)
    schedule = run.settings.schedule
    teacher = plan.teacher_network()
    teacher.load_state_dict(weights)
    teacher.to(run.config.device)
    precision = run.settings.server_distillation.autocast
    options = SoftLabelOptions(run.settings.image_size // 2, schedule.soft_label_ensemble, precision)
    levels = teacher_soft_labels(teacher, sealed.pool, range(len(sealed.pool)), options)
    return SyntheticSource(images, labels, levels, supervised, kl)
