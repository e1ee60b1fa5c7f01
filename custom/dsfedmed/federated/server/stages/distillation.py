# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation on the learnable samples, at the server, and soft labels for the sites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from torch import Tensor

from dsfedmed.algorithms.batch_quantile import select_batch_quantile
from dsfedmed.algorithms.distillation import select_from_pool
from dsfedmed.exchange.tensors import Weights, digest, under
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.synthetic_set import SealedSet, late_audit
from dsfedmed.federated.server.training_run import Beside
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import SoftLabelsRequest
from dsfedmed.federated.wire.specs import JointSet, SoftLabelChoice
from dsfedmed.federated.wire.tasks import SOFT_LABELS
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.store.json_types import JsonObject
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.distillation.record import DistillationRecord, PoolScores
from dsfedmed.training.distillation.soft_labels import SoftLabelOptions, teacher_soft_labels
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors

STATE = "distillation"


@dataclass(frozen=True)
class SoftLabels:
    """The teacher's word on the selected samples: pool positions, uint8 levels (n, K, s, s) and their hash."""

    selected: list[int]
    levels: Tensor
    sha256: str


class Distillation:
    """The server's half of mutual distillation, resumable after each call.

    The teacher's encoder is frozen here, so its embeddings of the set are computed once and kept on disk. Which
    network learns follows from where distillation happens: at the "server" both do (the paper), at the "sites" only
    the teacher does here and the light network learns there from the soft labels, with "both" both happen.
    """

    def __init__(self, run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, teacher: Weights) -> None:
        self.run, self.plan, self.sealed = run, plan, sealed
        self.distil_at = run.settings.schedule.distil_at
        self.round = -1
        self.steps = 0
        """Gradient steps of the light network in the latest call."""
        self.soft_labels: SoftLabels | None = None
        self.acknowledged: set[str] = set()
        self._light: Weights = {}
        self._teacher = network = plan.teacher_network()
        network.load_state_dict(teacher)
        network.to(run.config.device)
        self._resume()

    @cached_property
    def distiller(self) -> MutualDistiller:
        """The loop, made when it is first needed: the teacher's embeddings of the whole set are its cost."""
        run, plan, pool = self.run, self.plan, self.sealed.pool
        learn: Literal["teacher", "both"] = "teacher" if self.distil_at == "sites" else "both"
        server = replace(run.settings.server_distillation, learn=learn)
        embeddings = open_embeddings(
            run.folder / "embeddings", self._teacher, pool, self.sealed.sha256, precision=server.autocast
        )
        return MutualDistiller(
            self._teacher,
            plan.light_network().to(run.config.device),
            pool,
            embeddings,
            plan.facts.num_classes,
            plan.facts.nested,
            run.settings.distillation,
            server,
        )

    @property
    def teacher(self) -> Weights:
        """The teacher's weights as they are now."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self._teacher.state_dict().items()}

    def distil(self, round_number: int, light: Weights, epochs: int) -> Weights:
        """Distil with the light network's weights after ``round_number``; return the light network's weights.

        A call for a round that is already in the store gives back what it gave then.
        """
        if round_number <= self.round:
            return self._light if round_number == self.round else light
        self.distiller.light.load_state_dict(light, strict=False)
        seed = derive_seed(self.run.settings.seed, "distillation")
        records = self.distiller.run(epochs, seed, on_epoch=lambda record: self._report(round_number, record))
        self.round = round_number
        self.steps = 0 if self.distil_at == "sites" else sum(record.steps for record in records)
        self._light = light if self.distil_at == "sites" else copied_tensors(self.distiller.light)
        self.soft_labels = None if self.distil_at == "server" else self._make_soft_labels(seed)
        self.acknowledged.clear()
        self._save([_entry(round_number, record) for record in records])
        return self._light

    def send_soft_labels(self) -> SoftLabelChoice | None:
        """Let every site that lacks the present soft labels have them; return what a round's request says of them.

        A site that missed the audit does it first. The request names the sites that train with the set; one that has
        no soft labels, or will not have them, trains on its own images alone until it has.
        """
        if self.soft_labels is None:
            return None
        self._audit_late()
        soft, schedule = self.soft_labels, self.run.settings.schedule
        kept, selected = tuple(self.sealed.kept), tuple(soft.selected)
        weights = schedule.site_supervised_weight, schedule.site_kl_weight
        chosen = SoftLabelChoice(self.sealed.pool.manifest, kept, selected, soft.sha256, *weights)
        able = self.sealed.auditors
        lacking = [s for s in self.run.sources if s not in self.acknowledged and (able is None or s in able)]
        if lacking:
            body = SoftLabelsRequest(self.plan.common, self.round, chosen)
            request = Envelope(body, {"levels": soft.levels})
            replies = self.run.ask(SOFT_LABELS, request, sites=lacking, at_least=0)
            self.acknowledged |= {site for site, reply in replies.items() if reply.body.kept == soft.sha256}
        return replace(chosen, sites=tuple(sorted(self.acknowledged))) if self.acknowledged else None

    def beside(self) -> Beside:
        """Return what the sites learn from in the next round beside their own images; what they lack is sent first."""
        soft, weight = self.send_soft_labels(), self.run.settings.schedule.joint_weight
        if not weight:
            return Beside(soft)
        self._audit_late()
        able = self.sealed.auditors
        sites = tuple(site for site in self.run.sources if able is None or site in able)
        joint = JointSet(self.sealed.pool.manifest, tuple(self.sealed.kept), weight, sites)
        return Beside(soft, joint if sites else None)

    def _audit_late(self) -> None:
        done = self.sealed.auditors
        answered = None if done is None else done | self.sealed.decliners
        missed = [] if answered is None else [site for site in self.run.sources if site not in answered]
        if missed:
            self.sealed = late_audit(self.run, self.plan, self.sealed, missed)

    def _make_soft_labels(self, seed: int) -> SoftLabels:
        selected = self._select(self.distiller.score(), seed)
        size = self.run.settings.image_size // 2
        ensemble = self.run.settings.schedule.soft_label_ensemble
        precision = self.run.settings.server_distillation.autocast
        options = SoftLabelOptions(size, ensemble, precision)
        levels = teacher_soft_labels(self.distiller.teacher, self.sealed.pool, selected, options)
        return SoftLabels(selected, levels, digest({"levels": levels}))

    def _select(self, scores: PoolScores, seed: int) -> list[int]:
        config = self.run.settings.distillation
        if config.rule == "batch_quantile":
            chosen = select_batch_quantile(
                scores.teacher_loss, scores.student_loss, scores.disagreement, config.quantile, config.rate
            )
        else:
            draws = generator(derive_seed(seed, "soft labels", self.round))
            chosen = select_from_pool(scores.scores, config, draws)
        return sorted(int(index) for index in chosen)

    def _report(self, round_number: int, record: DistillationRecord) -> None:
        self.run.progress.say(
            f"distilled after round {round_number}: {record.selected} of {record.pool} samples, "
            f"teacher loss {record.pool_teacher_loss:.4f}, disagreement {record.pool_disagreement:.5f}"
        )
        self.run.track("distillation/disagreement", record.pool_disagreement, self.distiller.epoch)
        self.run.track("distillation/teacher_loss", record.pool_teacher_loss, self.distiller.epoch)

    def _save(self, entries: list[JsonObject]) -> None:
        known = self.run.record.data["learnability"]
        self.run.record.put(learnability=known + entries)
        soft = self.soft_labels
        tensors = {f"teacher/{name}": tensor for name, tensor in self.teacher.items()}
        tensors |= {f"light/{name}": tensor for name, tensor in self._light.items()}
        tensors |= {
            f"adam.teacher/{n}": t for n, t in optimizer_state_tensors(self.distiller.teacher_optimizer).items()
        }
        tensors |= {f"adam.light/{n}": t for n, t in optimizer_state_tensors(self.distiller.student_optimizer).items()}
        if soft:
            tensors["levels"] = soft.levels
        info = {"round": self.round, "epoch": self.distiller.epoch, "selected": soft.selected if soft else None}
        self.run.store.put(STATE, {**info, "steps": self.steps, "learnability": known + entries}, tensors)

    def _resume(self) -> None:
        if not self.run.store.has(STATE):
            return
        state = self.run.store.get(STATE)
        self.round, self.steps = state.info["round"], state.info["steps"]
        self.distiller.epoch = state.info["epoch"]
        self._teacher.load_state_dict(under(state.tensors, "teacher/"))
        load_optimizer_state(self.distiller.teacher_optimizer, under(state.tensors, "adam.teacher/"), STATE)
        load_optimizer_state(self.distiller.student_optimizer, under(state.tensors, "adam.light/"), STATE)
        self._light = under(state.tensors, "light/")
        if state.info["selected"] is not None:
            levels = state.tensors["levels"]
            self.soft_labels = SoftLabels(state.info["selected"], levels, digest({"levels": levels}))
        self.run.record.put(learnability=state.info["learnability"])


def _entry(round_number: int, record: DistillationRecord) -> JsonObject:
    return {
        "round": round_number,
        "scores": {
            "mean": record.score_mean,
            "std": record.score_std,
            "histogram": {"edges": list(record.histogram_edges), "counts": list(record.histogram_pool)},
        },
        "selected_mean": record.selected_score_mean,
        "teacher_loss": record.pool_teacher_loss,
        "student_loss": record.student_loss,
        "kl": record.pool_disagreement,
        "selected": record.selected,
        "pool": record.pool,
    }
