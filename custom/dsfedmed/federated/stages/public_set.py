# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed's stages at the server: the public labelled set, the global model's start, the teacher, the one broadcast."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet, write_shards
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.evaluation.protocol import quick_dice
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.arm import NetworkKind
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_tasks.networks import copied_tensors, with_low_rank
from dsfedmed.federated.stages.generators import Weights
from dsfedmed.federated.stages.teacher import start_teacher
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.seeds import derive_seed
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.light import train_light
from dsfedmed.training.teacher import TeacherEpoch, adapt_on_pool

FOLDER = "public"


@dataclass(frozen=True)
class PublicSet:
    """The public set: its training part as sealed shards, which the sites get, and its validation part.

    Attributes:
        training: the shards at the server.
        validation: what chooses the round; the sites need no labels for that.
    """

    training: SyntheticSet
    validation: SiteArrays

    @property
    def manifest(self) -> Manifest:
        """What is announced to the sites."""
        return self.training.manifest


@dataclass(frozen=True)
class Trained:
    """A light network trained on the public set.

    Attributes:
        weights: of the best epoch.
        epoch: that epoch, from 1.
        dice: its validation Dice, 0 to 1.
        best_steps: gradient steps until then.
        steps: gradient steps in all.
    """

    weights: Weights
    epoch: int
    dice: float
    best_steps: int
    steps: int


def publish(flow: FederatedWorkflow, plan: Plan) -> PublicSet:
    """Read the server's public folder, and lay its training part out as shards.

    Raises:
        ConfigError: the server has no public folder.
        DataError: it does not go together with what the sites hold, or lacks a part.
    """
    found = load_datalist(flow.config.need("public"))
    ours, theirs = (found.num_classes, found.nested), (plan.facts.num_classes, plan.facts.nested)
    if ours != theirs:
        raise DataError(found.root, f"has classes and nesting {ours}, the sites {theirs}", "Give labels of their kind")
    preprocessing = plan.light_bundle.preprocessing()

    def make() -> StageResult:
        part = load_part(found, "training", preprocessing)
        images = (part.images * 255).round().to(torch.uint8)
        manifest = write_shards(
            flow.folder / FOLDER, images, part.labels, ["public"] * len(part), plan.settings.synthetic.shard_size
        )
        return StageResult(manifest.to_dict(), {})

    manifest = Manifest.from_dict(flow.once("public set", make).info)
    training = SyntheticSet.open(flow.folder / FOLDER, manifest)
    return PublicSet(training, load_part(found, "validation", preprocessing))


def validate_public(flow: FederatedWorkflow, plan: Plan, public: PublicSet, network: nn.Module) -> float:
    """Return the mean Dice of a network on the public validation part, 0 to 1."""
    batch, classes = 2 * plan.settings.light.batch_size, plan.facts.num_classes
    return quick_dice(network, public.validation, classes, plan.facts.nested, batch, flow.config.device)


def validate_weights(flow: FederatedWorkflow, plan: Plan, public: PublicSet, weights: Weights) -> float:
    """Return `validate_public` of the light network with these weights."""
    network = plan.light_network()
    network.load_state_dict(weights, strict=False)
    return validate_public(flow, plan, public, network.to(flow.config.device))


def train_on_public(flow: FederatedWorkflow, plan: Plan, public: PublicSet, name: str, epochs: int) -> Trained:
    """Train the light network on the public labels alone; the best epoch by its validation part is kept.

    Args:
        flow: the workflow.
        plan: the networks.
        public: the set.
        name: of the draws.
        epochs: passes over the training part.
    """
    bundle, light = plan.light_bundle, plan.settings.light
    images, labels = public.training.images(), public.training.labels()
    network = plan.light_network().to(flow.config.device)
    optimizer, loss, augmentation = bundle.optimizer(network.parameters()), bundle.loss(), bundle.augmentation()
    found = Trained(copied_tensors(network), 0, -1.0, 0, 0)
    steps = 0
    for epoch in range(1, epochs + 1):
        seed = derive_seed(plan.settings.seed, name, epoch)
        steps += train_light(
            network, loss, optimizer, images, labels, plan.facts.num_classes, plan.facts.nested, augmentation,
            light.batch_size, seed, epochs=1, precision=light.autocast,
        ).steps  # fmt: skip
        dice = validate_public(flow, plan, public, network)
        if dice > found.dice:
            found = Trained(copied_tensors(network), epoch, dice, steps, steps)
        flow.progress.step(epoch, epochs, f"{name}  validation Dice {dice * 100:.1f}")
    return replace(found, steps=steps)


def start_global(flow: FederatedWorkflow, plan: Plan, public: PublicSet, epochs: int) -> tuple[Weights, int]:
    """Train the global model M_G on the public set; return its weights and the gradient steps it took."""

    def make() -> StageResult:
        found = train_on_public(flow, plan, public, "public start", epochs)
        info = {"epoch": found.epoch, "steps": found.steps, "validation_dice": found.dice}
        return StageResult(info, found.weights)

    result = flow.once("public start", make)
    return result.tensors, int(result.info["steps"])


def teacher_kind(plan: Plan) -> NetworkKind:
    """Return what travels of the tuned teacher: low-rank updates and decoder (``tune: lora``), or all of it."""
    return "low_rank" if plan.settings.teacher.tune == "lora" else "teacher"


def tune_teacher(flow: FederatedWorkflow, plan: Plan, public: PublicSet) -> Weights:
    """Tune SAM on the public set; return what travels of it.

    The paper tunes by LoRA (``teacher.tune: lora``). Deviation at small scale: a foundation of a few million numbers is
    no SAM, and low-rank updates of it learn too little, so the small presets tune it in full.
    """

    def make() -> StageResult:
        teacher, origin = start_teacher(flow, plan)
        flow.progress.say(origin)
        config = plan.settings.teacher
        if teacher_kind(plan) == "low_rank":
            # "full" means all that may learn, and this freezes the rest.
            teacher, config = with_low_rank(teacher, plan.teacher_foundation), replace(config, tune="full")
        teacher.to(flow.config.device)

        def report(epoch: TeacherEpoch) -> None:
            flow.progress.step(epoch.epoch + 1, config.epochs, f"loss {epoch.loss:.4f}")
            flow.track("teacher/adaptation_loss", epoch.loss, epoch.epoch + 1)

        seed = derive_seed(plan.settings.seed, "tune teacher")
        adapt_on_pool(teacher, public.training, config, seed, plan.facts.nested, on_epoch=report)
        dice = validate_public(flow, plan, public, teacher)
        return StageResult({"foundation": origin, "validation_dice": dice}, copied_tensors(teacher))

    result = flow.once("tune teacher", make)
    flow.record.put(teacher=result.info)
    return result.tensors


class Broadcast:
    """The one broadcast of teacher and public set, and who has labelled its images with them.

    Args:
        flow: the workflow.
        plan: the networks.
        public: the public set.
        teacher: what was tuned of the teacher.
        sites: the sites that train.
    """

    def __init__(
        self, flow: FederatedWorkflow, plan: Plan, public: PublicSet, teacher: Weights, sites: list[str]
    ) -> None:
        self._flow, self._plan, self._public, self._teacher, self._sites = flow, plan, public, teacher, sites
        self._done: set[str] = set(flow.once("broadcast teacher", self._first).info["sites"])

    def ready(self) -> tuple[str, ...]:
        """Return the sites that have labelled their images; those that missed it are asked again first."""
        missed = [site for site in self._sites if site not in self._done]
        if missed:
            self._done |= self._ask(missed, 0).keys()
        return tuple(site for site in self._sites if site in self._done)

    def _first(self) -> StageResult:
        return StageResult({"sites": self._ask(self._sites, None)}, {})

    def _ask(self, sites: list[str], at_least: int | None) -> dict[str, float]:
        """Send both to sites; return SAM's mean confidence at those that answered."""
        plan = self._plan
        with self._flow.offered(self._flow.folder / FOLDER, self._public.manifest) as offer:
            kind = teacher_kind(plan)
            foundation = plan.teacher_foundation if kind == "low_rank" else None
            info = {**plan.common, "files": offer, "kind": kind, "teacher": plan.teacher_spec, "foundation": foundation}
            message = Message(info, pack(self._teacher, "fp16"))
            replies = self._flow.ask("dsf_label", message, sites=sites, at_least=at_least)
        return {site: float(reply.info["confidence"]) for site, reply in replies.items()}


def label_site_or_public(flow: FederatedWorkflow, label_site: str) -> list[str]:
    """Return the sites that train: all source sites but the one whose labels play the public set.

    Raises:
        ConfigError: there is no such site, or no other one.
    """
    if label_site and label_site not in flow.sources:
        known = ", ".join(flow.sources)
        raise ConfigError("method.label_site", f"{label_site!r} is no source site", f"Choose one of {known}")
    training = [site for site in flow.sources if site != label_site]
    if len(training) < flow.settings.min_sites:
        reason = f"{len(training)} sites are left without labels, and min_sites is {flow.settings.min_sites}"
        raise ConfigError("method.label_site", reason, "Add sites, or lower min_sites")
    return training


def labels_only(flow: FederatedWorkflow, plan: Plan, public: PublicSet, steps: int) -> Weights:
    """Train the light network on the public labels alone for ``steps`` gradient steps: FedAvg of the one label site."""

    def make() -> StageResult:
        per_epoch = -(-len(public.training) // plan.settings.light.batch_size)
        found = train_on_public(flow, plan, public, "labels only", -(-steps // per_epoch))
        chosen = {"round": found.epoch, "local_steps": found.best_steps, "validation_dice": found.dice}
        info = {"selected": chosen, "budget": {"rounds": -(-steps // per_epoch), "local_steps": found.steps}}
        return StageResult(info, found.weights)

    result = flow.once("compare labels only", make, "comparison")
    flow.record.add("selected", labels_only=result.info["selected"])
    flow.record.add("budgets", labels_only=result.info["budget"])
    return result.tensors
