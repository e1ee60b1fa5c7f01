# SPDX-License-Identifier: Apache-2.0
"""Stages at the server where sites have no labels: the public labelled set, and what is trained on it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import nn

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet, write_shards
from dsfedmed.errors import DataError
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.site_data import PUBLIC_DATA, PUBLIC_MEMORY, remembered_sha256
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.server_training import Trained, train_at_server
from dsfedmed.federated.server.stages.synthetic_set import set_made_once
from dsfedmed.federated.server.stages.teacher import start_teacher, tune_at_server, with_low_rank
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.pool import device_of
from dsfedmed.training.semi_supervised.public import PublicLoss, PublicSource
from dsfedmed.training.semi_supervised.public import train_on_public as pass_over_public
from dsfedmed.training.task import TrainingTask

FOLDER, START = "public", "public start"


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


def load_public_set(run: FederatedWorkflow, plan: FederationPlan) -> PublicSet:
    """Read the server's public folder, and lay its training part out as shards.

    Raises:
        ConfigError: the server has no public folder.
        DataError: it does not go together with what the sites hold, lacks a part, or has changed since the run began.
    """
    found = load_datalist(run.config.need("public"))
    _require_same_public(run, found)
    ours, theirs = (found.num_classes, found.nested), (plan.facts.num_classes, plan.facts.nested)
    if ours != theirs:
        raise DataError(found.root, f"has classes and nesting {ours}, the sites {theirs}", "Give labels of their kind")
    named, sites = found.sorted_channel_names, plan.facts.channel_names
    if named != sites:
        reason = f"names its channels {', '.join(named) or 'not at all'}, the sites {', '.join(sites) or 'not at all'}"
        raise DataError(found.root, reason, 'Write the sites\' "channel_names" into its datalist.json')
    preprocessing = plan.light_bundle.preprocessing()

    def make() -> StageResult:
        part = load_part(found, "training", preprocessing)
        images = (part.images * 255).round().to(torch.uint8)
        manifest = write_shards(
            run.folder / FOLDER, images, part.labels, ["public"] * len(part), plan.settings.synthetic.shard_size
        )
        return StageResult(manifest.to_dict(), {})

    manifest = set_made_once(run, "public set", FOLDER, make)
    training = SyntheticSet.open(run.folder / FOLDER, manifest)
    return PublicSet(training, load_part(found, "validation", preprocessing))


def _require_same_public(run: FederatedWorkflow, found: SiteDatalist) -> None:
    digest = remembered_sha256(found, run.folder / PUBLIC_MEMORY)
    if not run.store.has(PUBLIC_DATA):
        run.store.put(PUBLIC_DATA, {"sha256": digest})
    if run.store.get(PUBLIC_DATA).info["sha256"] != digest:
        fix = "Put the files back as they were, or start in another run folder"
        raise DataError(found.root, "the public set has changed since the run began", fix)


def validate_public(run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, network: nn.Module) -> float:
    """Return the mean Dice of a network on the public validation part, 0 to 1."""
    forward = ForwardPass(plan.facts.num_classes, 2 * plan.settings.light.batch_size, run.config.device)
    return quick_dice(network, public.validation, forward, plan.facts.nested)


def validate_weights(run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, weights: Weights) -> float:
    """Return `validate_public` of the light network with these weights."""
    network = plan.light_network()
    network.load_state_dict(weights, strict=False)
    return validate_public(run, plan, public, network.to(run.config.device))


def train_on_public(run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, name: str, epochs: int) -> Trained:
    """Train the light network on the public labels alone, see `train_at_server`."""
    images, labels = public.training.images(), public.training.labels()
    validate = partial(validate_public, run, plan, public)
    return train_at_server(run, plan, name, images, labels, validate, epochs)


def start_global(
    run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, epochs: int, loss: PublicLoss | None = None
) -> tuple[Weights, int]:
    """Train the global model M_G on the public set; return its weights and the gradient steps it took.

    ``loss`` of the network and a batch is what the sites have on public images; without, it is the bundle's.
    """

    def make() -> StageResult:
        if loss is None:
            found = train_on_public(run, plan, public, START, epochs)
        else:
            found = _train_by(run, plan, public, epochs, loss)
        info = {"epoch": found.epoch, "steps": found.steps, "validation_dice": found.dice}
        return StageResult(info, found.weights)

    result = run.once(START, make)
    return result.tensors, int(result.info["steps"])


def _train_by(
    run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, epochs: int, loss: PublicLoss
) -> Trained:
    """Train the light network by a loss of the network itself; the best epoch on the public validation part is kept."""
    bundle, light, facts = plan.light_bundle, plan.settings.light, plan.facts
    network = plan.light_network().to(run.config.device)
    optimizer = bundle.optimizer(network.parameters())
    task = TrainingTask(
        facts.num_classes, facts.nested, bundle.loss(), bundle.augmentation(), light.batch_size, light.autocast
    )
    source = PublicSource(public.training.images(), public.training.labels())
    best = Trained(copied_tensors(network), 0, -1.0, 0, epochs, 0)
    for epoch in range(1, epochs + 1):
        seed = derive_seed(plan.settings.seed, START, epoch)
        network.train()
        with global_draws(derive_seed(seed, "dropout"), device_of(network)):
            _, taken = pass_over_public(network, optimizer, source, task, 1, seed, loss=loss)
        dice = validate_public(run, plan, public, network)
        run.progress.step(epoch, epochs, f"{START}  validation Dice {dice * 100:.1f}")
        best = replace(best, steps=best.steps + taken)
        if dice > best.dice:
            best = replace(best, weights=copied_tensors(network), epoch=epoch, dice=dice, best_steps=best.steps)
    return best


def labels_only(run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, steps: int) -> Weights:
    """Train the light network on the public labels alone for ``steps`` gradient steps: FedAvg of the one label site."""

    def make() -> StageResult:
        per_epoch = math.ceil(len(public.training) / plan.settings.light.batch_size)
        found = train_on_public(run, plan, public, "labels only", math.ceil(steps / per_epoch))
        found.record(run, "labels_only")
        return StageResult({"epoch": found.epoch, "steps": found.steps}, found.weights)

    return run.once("compare labels only", make, "comparison").tensors


def teacher_kind(plan: FederationPlan) -> Literal["teacher", "low_rank"]:
    """Return what travels of the tuned teacher: low-rank updates and decoder (``tune: lora``), or all of it."""
    return "low_rank" if plan.settings.teacher.tune == "lora" else "teacher"


def rounds_with_teacher(run: FederatedWorkflow, state: TrainingState) -> list[bool]:
    """Return for each round so far, and for the one that comes next, whether SAM is heard (``teacher_gate``).

    It is if it is at least as good on the public validation part as the global network was when last validated: a
    round's weights are validated as the next round sends them, so that rounds 1 and 2 go by the start, and round r by
    round r - 2. Behind "public start" and "tune teacher".
    """
    teacher, start = (run.store.get(name).info["validation_dice"] for name in ("tune teacher", START))
    known = [entry["validation"]["public"] for entry in state.curve if entry["validation"]]
    return [teacher >= dice for dice in (start, start, *known)][: state.round + 1]


def tune_teacher(run: FederatedWorkflow, plan: FederationPlan, public: PublicSet) -> Weights:
    """Tune SAM on the public set; return what travels of it.

    The paper tunes by LoRA (``teacher.tune: lora``). Deviation at small scale: a foundation of a few million numbers is
    no SAM, and low-rank updates of it learn too little, so the small presets tune it in full.
    """

    def make() -> StageResult:
        teacher, origin = start_teacher(run, plan)
        run.progress.say(origin)
        config = plan.settings.teacher
        if teacher_kind(plan) == "low_rank":
            # "full" means all that may learn, and this freezes the rest.
            teacher, config = with_low_rank(plan, teacher), replace(config, tune="full")
        tune_at_server(run, plan, teacher, public.training, config, "tune teacher")
        dice = validate_public(run, plan, public, teacher)
        return StageResult({"teacher_weights": origin, "validation_dice": dice}, copied_tensors(teacher))

    result = run.once("tune teacher", make)
    run.record.put(teacher=result.info)
    return result.tensors
