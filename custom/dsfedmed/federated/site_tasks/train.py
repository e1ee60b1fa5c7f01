# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_train`` (one round of a federated arm) and ``dsf_local`` (the site alone)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dsfedmed.evaluation.protocol import quick_dice
from dsfedmed.exchange.compression import difference, pack
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.held import arrived_weights
from dsfedmed.federated.messages import KEPT_ROUNDS, Message
from dsfedmed.federated.site import Site
from dsfedmed.federated.site_tasks.networks import (
    build,
    copied_tensors,
    load,
    optimizer_for,
    prefixed,
    trained_tensors,
)
from dsfedmed.federated.site_tasks.soft_labels import synthetic_source
from dsfedmed.federated.uplink import UPDATE, announce
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.training.light import SyntheticSource, TrainingSummary, train_light
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors


def train(site: Site, request: Message) -> Message:
    """Validate the weights that arrived, train on, and return the difference with the validation Dice.

    With ``epochs`` 0 only the validation is done.
    """
    info = request.info
    network = build(site, info, info["network"])
    arrived = arrived_weights(request, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    answer: dict[str, Any] = {"round": info["round"], "validation": _validate(site, info, network)}
    if info["epochs"] == 0:
        return Message(answer)
    optimizer = optimizer_for(site, info, info["network"], network)
    _restore(site, info, optimizer)
    seed = derive_seed(info["seed"], site.name, info["arm"], info["round"])
    synthetic = synthetic_source(site, info)
    summary = _fit(site, info, network, optimizer, seed, info["epochs"], synthetic, info.get("proximal", 0.0))
    _keep(site, info, optimizer)
    update = difference(trained_tensors(network), start)
    answer |= {
        UPDATE: announce(info),
        "weight": len(site.arrays("training", info["light"])),
        "loss": summary.mean_loss,
        "steps": summary.steps,
        "scalars": {f"{info['arm']}/loss": summary.mean_loss, f"{info['arm']}/validation_dice": answer["validation"]},
    }
    return Message(answer, update, True)


def local(site: Site, request: Message) -> Message:
    """Train the light network on the site's images alone; its own validation picks the epoch."""
    info = request.info
    network = build(site, info, "light")
    load(network, prefixed(request.tensors, "weights"), site.config.device)
    optimizer = optimizer_for(site, info, "light", network)
    best, best_epoch, best_weights, steps = -1.0, 0, trained_tensors(network), 0
    for epoch in range(1, info["epochs"] + 1):
        seed = derive_seed(info["seed"], site.name, "local", epoch)
        steps += _fit(site, info, network, optimizer, seed, 1, None).steps
        dice = _validate(site, info, network)
        if dice > best:
            best, best_epoch = dice, epoch
            best_weights = copied_tensors(network)
    answer = {"validation": best, "epoch": best_epoch, "steps": steps}
    return Message(answer, pack(best_weights, info["precision"], site.name))


def _fit(
    site: Site,
    info: dict[str, Any],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    seed: int,
    epochs: int,
    synthetic: SyntheticSource | None,
    proximal: float = 0.0,
) -> TrainingSummary:
    bundle, arrays = site.bundle(info["light"]), site.arrays("training", info["light"])
    network.train()
    return train_light(
        network,
        bundle.loss(),
        optimizer,
        arrays.images,
        arrays.labels,
        num_classes=info["num_classes"],
        nested=info["nested"],
        augmentation=bundle.augmentation(),
        batch_size=info["batch_size"],
        seed=seed,
        epochs=epochs,
        synthetic=synthetic,
        precision=info["autocast"],
        workers=site.config.workers,
        proximal=proximal,
    )


def _validate(site: Site, info: dict[str, Any], network: nn.Module) -> float:
    arrays = site.arrays("validation", info["light"])
    # Without gradients twice as many images fit as in training, and at 1024 px no more should be tried.
    batch = 2 * info["batch_size"]
    return quick_dice(network, arrays, info["num_classes"], info["nested"], batch, site.config.device)


def _state_file(site: Site, info: dict[str, Any], after_round: int) -> Path:
    return site.folder / "optimizer" / f"{info['arm']}-{after_round:04d}.safetensors"


def _restore(site: Site, info: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Take up the optimiser's state behind the round before; a site that missed that round starts it anew."""
    path = _state_file(site, info, info["round"] - 1)
    if info["keep_optimizer"] and path.exists():
        load_optimizer_state(optimizer, read_tensors(path), site.name)


def _keep(site: Site, info: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    if info["keep_optimizer"]:
        write_tensors(_state_file(site, info, info["round"]), optimizer_state_tensors(optimizer))
        _state_file(site, info, info["round"] - KEPT_ROUNDS).unlink(missing_ok=True)
