# SPDX-License-Identifier: Apache-2.0
"""Stage "adapt teacher": the server's SAM learns the synthetic set. It never sees a real image of any site."""

from __future__ import annotations

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.check_sites import RANDOM_START
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.promptless_sam.official import OFFICIAL, check_official
from dsfedmed.seeds import derive_seed
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.pool import Pool
from dsfedmed.training.teacher.adapt import TeacherEpoch, adapt_on_pool
from dsfedmed.training.teacher.config import TeacherConfig


def start_teacher(run: FederatedWorkflow, plan: FederationPlan) -> tuple[PromptlessSam, str]:
    """Build the teacher and load its weights; without a weights file it starts at random, and the record says so.

    A file that is missing, or has the name of the variant's official SAM checkpoint, is held against that checkpoint.
    """
    teacher = plan.teacher_network()
    path, official = run.config.teacher, OFFICIAL.get(run.settings.teacher_variant)
    if path is None:
        return teacher, RANDOM_START
    if official and (not path.is_file() or path.name == official.file_name):
        check_official(path, official.variant)
    report = load_weights(teacher, path, "teacher", allow_head_change=True, allow_resize=True, allow_channels=True)
    return teacher, report.summary()


def with_low_rank(plan: FederationPlan, teacher: PromptlessSam) -> PromptlessSam:
    """Add the run's low-rank updates to the teacher, in place; every site builds the same."""
    init = plan.teacher_init
    return add_lora(teacher, init.low_rank.rank, init.low_rank.alpha, init.low_rank.layers, init.seed)


def tune_at_server(
    run: FederatedWorkflow, plan: FederationPlan, teacher: PromptlessSam, pool: Pool, config: TeacherConfig, name: str
) -> list[TeacherEpoch]:
    """Train the teacher in place on the server's device, with progress and tracking; ``name`` is that of its seed."""

    def report(epoch: TeacherEpoch) -> None:
        run.progress.step(epoch.epoch + 1, config.epochs, f"loss {epoch.loss:.4f}")
        run.track("teacher/adaptation_loss", epoch.loss, epoch.epoch + 1)

    teacher.to(run.config.device)
    seed = derive_seed(run.settings.seed, name)
    return adapt_on_pool(teacher, pool, config, seed, plan.facts.nested, on_epoch=report)


def adapt_teacher(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet) -> Weights:
    """Fine-tune the teacher on the sealed set with its masks; return its weights."""

    def make() -> StageResult:
        teacher, origin = start_teacher(run, plan)
        run.progress.say(origin)
        history = tune_at_server(run, plan, teacher, sealed.pool, run.settings.teacher, "adapt teacher")
        info = {"teacher_weights": origin, "losses": [epoch.loss for epoch in history]}
        return StageResult(info, {name: tensor.detach().cpu() for name, tensor in teacher.state_dict().items()})

    result = run.once("adapt teacher", make)
    run.record.put(teacher=result.info)
    return result.tensors
