# SPDX-License-Identifier: Apache-2.0
"""Tasks of SAM-Fed: ``dsf_label`` (SAM's answers, once), ``dsf_agree`` (a homogeneous round), ``dsf_fuse`` (RF).

The site's own labels, if it has any, are never read. SAM is run once over the images, without augmentation; its
answers stay in the site's folder as 8-bit levels.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.agreement import AgreementState, ramp_up
from dsfedmed.algorithms.regularity import image_accuracy
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.protocol import predict_probabilities
from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.tasks.local_training import keep_optimizer, restore_optimizer
from dsfedmed.federated.site.tasks.networks import build, load, optimizer_for
from dsfedmed.federated.site.tasks.synthetic import open_set
from dsfedmed.federated.site.uplink import UPDATE, announce
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.training.distillation.soft_labels import (
    LEVELS,
    SoftLabelOptions,
    decode_soft,
    encode_soft,
    teacher_soft_labels,
)
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.semi_supervised.config import SamFedConfig
from dsfedmed.training.semi_supervised.loop import (
    Passes,
    PublicSource,
    Summary,
    UnlabelledSource,
    UnlabelledTerms,
    train_semi_supervised,
)
from dsfedmed.training.task import TrainingTask

FOLDER = "samfed"
ANSWERS = "answers"


def label(site: SiteContext, request: Message) -> Message:
    """Run SAM over the site's images and keep its answers; verify the public set that came with it."""
    info = request.info
    config = SamFedConfig.from_dict(info["method"])
    images = site.images("training", info["light"])
    public = open_set(site, info["files"]["manifest"], None)
    teacher = cast(PromptlessSam, build(site, info, info["kind"]))
    load(teacher, request.tensors, site.config.device)
    pool = TensorPool(images, torch.zeros(len(images), 1, *images.shape[2:], dtype=torch.uint8))
    options = SoftLabelOptions(images.shape[-1], config.teacher_flips, info["autocast"])
    levels = teacher_soft_labels(teacher, pool, range(len(images)), options)
    write_tensors(_folder(site) / f"{ANSWERS}.safetensors", {ANSWERS: levels})
    sure = torch.maximum(levels, LEVELS - levels).float().mean() / LEVELS
    return Message({"images": len(images), "public": len(public), "confidence": float(sure)})


def agree(site: SiteContext, request: Message) -> Message:
    """Train the global network on public labels and agreed pseudo-labels, and return the difference."""
    info = request.info
    config, network = SamFedConfig.from_dict(info["method"]), build(site, info, "light")
    arrived = resolve_weights(request, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    public = _public(site, info)
    shared = copy.deepcopy(network).eval()
    gate = _global_is_better(site, info, shared, public)
    optimizer = optimizer_for(site, info, "light", network)
    for group in optimizer.param_groups:
        group["lr"] *= config.rate_factor
    source = PublicSource(public.images, public.labels)
    summary = _train(site, info, network, optimizer, source, config, config.shared_weight * gate, shared)
    write_tensors(_round_file(site, info, "local", info["round"]), copied_tensors(network))
    answer = {"round": info["round"], UPDATE: announce(info), **_said(info, summary)}
    return Message(answer, difference(trained_tensors(network), start), True)


def fuse(site: SiteContext, request: Message) -> Message:
    """Train the site's own network under the server's answers (RF); return its answers to the public images (RC)."""
    info = request.info
    config, bundle = SamFedConfig.from_dict(info["method"]), site.bundle(info["own"][site.name])
    public = _public(site, info)
    network = _own_network(site, info, bundle, info["round"])
    optimizer = bundle.optimizer(network.parameters())
    images, labels = public.images, public.labels
    advice = decode_soft(request.tensors["levels"], len(public), info["num_classes"], "server")
    target = to_channels(labels, info["num_classes"], info["nested"])
    own = image_accuracy(_answers(network, images, info), target)
    gate = (image_accuracy(advice, target) > own).float().view(-1, 1, 1, 1).expand(-1, 1, *advice.shape[2:])
    source = PublicSource(images, labels, torch.cat([advice, gate], dim=1))
    summary = _train(site, info, network, optimizer, source, config, 0.0, None)
    write_tensors(_round_file(site, info, "own", info["round"]), copied_tensors(network))
    levels = encode_soft(_answers(network, images, info))
    return Message({"round": info["round"], **_said(info, summary)}, {"levels": levels})


def site_network(site: SiteContext, info: dict[str, Any], arm: str) -> nn.Module | None:
    """Return the site's own network behind its last round, or None where it has none."""
    files = sorted(_folder(site).glob(f"{arm}-own-*.safetensors"))
    if not files or site.name not in info["own"]:
        return None
    network = site.bundle(info["own"][site.name]).network()
    load(network, read_tensors(files[-1]), site.config.device)
    return network


def _train(
    site: SiteContext,
    info: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    config: SamFedConfig,
    shared_weight: float,
    shared: nn.Module | None,
) -> Summary:
    """Take up optimiser and agreement of the round before, train, and keep both."""
    bundle, images = site.bundle(info["light"]), site.images("training", info["light"])
    task = TrainingTask(
        info["num_classes"], info["nested"], bundle.loss(), bundle.augmentation(), info["batch_size"],
        info["autocast"], where=site.name,
    )  # fmt: skip
    restore_optimizer(site, info, optimizer, info["arm"])
    unlabelled = config.unlabelled_weight * ramp_up(info["round"] - 1, config.ramp_rounds) * info["heard"]
    terms = UnlabelledTerms(config.agreement, _agreement(site, info), unlabelled, shared_weight, shared)
    passes = Passes(info["epochs"], derive_seed(info["seed"], site.name, info["arm"], info["round"]))
    own = UnlabelledSource(images, _teacher_answers(site, info, len(images)))
    summary = train_semi_supervised(network, optimizer, public, own, task, terms, passes)
    keep_optimizer(site, info, optimizer, info["arm"])
    state = summary.state
    kept = {"rate": state.rate, "confidence": state.confidence, "steps": torch.tensor(state.steps)}
    write_tensors(_round_file(site, info, "agreement", info["round"]), kept)
    for kind in ("agreement", "local", "own"):
        _round_file(site, info, kind, info["round"] - CACHED_ROUNDS).unlink(missing_ok=True)
    return summary


def _said(info: dict[str, Any], summary: Summary) -> dict[str, Any]:
    """Return the facts of a round: losses, steps, and how far SAM and the network agree."""
    rate = float(summary.state.rate)
    scalars = {f"{info['arm']}/agreement": rate, f"{info['arm']}/loss": summary.own_loss}
    return {
        "loss": summary.public_loss + summary.own_loss,
        "steps": summary.steps,
        "agreement": rate,
        "scalars": scalars,
    }


def _public(site: SiteContext, info: dict[str, Any]) -> SiteArrays:
    """Read the public set, once per worker."""
    key = ("public", str(info["public"]["sha256"]))
    if key not in site.samples:
        found = open_set(site, info["public"], None)
        site.samples[key] = SiteArrays(found.images(), found.labels(), ("",) * len(found))
    return site.samples[key]


def _answers(network: nn.Module, images: Tensor, info: dict[str, Any]) -> Tensor:
    return predict_probabilities(network, images, info["num_classes"], 2 * info["batch_size"])


def _teacher_answers(site: SiteContext, info: dict[str, Any], count: int) -> Tensor:
    path = _folder(site) / f"{ANSWERS}.safetensors"
    if not path.exists():
        raise PayloadError(site.name, "has no answers of SAM", "It missed the task dsf_label; it is asked again")
    return decode_soft(read_tensors(path)[ANSWERS], count, info["num_classes"], str(path.name))


def _agreement(site: SiteContext, info: dict[str, Any]) -> AgreementState:
    path = _round_file(site, info, "agreement", info["round"] - 1)
    if not path.exists():
        return AgreementState(confidence=torch.ones(info["num_classes"], 2))
    kept = read_tensors(path)
    return AgreementState(kept["rate"], kept["confidence"], int(kept["steps"]))


def _global_is_better(site: SiteContext, info: dict[str, Any], shared: nn.Module, public: SiteArrays) -> float:
    """Return 1 if the global network is better on the public set than the site's own of the round before, else 0."""
    path = _round_file(site, info, "local", info["round"] - 1)
    if not path.exists():
        return 1.0
    local = build(site, info, "light")
    load(local, read_tensors(path), site.config.device)
    target = to_channels(public.labels, info["num_classes"], info["nested"])
    scores = [image_accuracy(_answers(network, public.images, info), target).mean() for network in (shared, local)]
    return float(scores[0] > scores[1])


def _own_network(site: SiteContext, info: dict[str, Any], bundle: BundleDefinition, number: int) -> nn.Module:
    """Return the site's network behind its last round before this one; at first, a random one of its own."""
    network = bundle.network(seed=derive_seed(info["seed"], site.name, "own network"))
    behind = _round_file(site, info, "own", number).name
    earlier = [path for path in sorted(_folder(site).glob(f"{info['arm']}-own-*.safetensors")) if path.name < behind]
    if earlier:
        load(network, read_tensors(earlier[-1]), site.config.device)
    return network.to(site.config.device)


def _round_file(site: SiteContext, info: dict[str, Any], kind: str, number: int) -> Path:
    return _folder(site) / f"{info['arm']}-{kind}-{number:04d}.safetensors"


def _folder(site: SiteContext) -> Path:
    return site.folder / FOLDER
