# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_train`` (one round of a federated arm) and ``dsf_local`` (the site alone)."""

from __future__ import annotations

from typing import Any

from dsfedmed.exchange.compression import difference, pack
from dsfedmed.exchange.tensors import under
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.task_progress import OnProgress
from dsfedmed.federated.site.tasks.local_training import fit, keep_optimizer, restore_optimizer, validate
from dsfedmed.federated.site.tasks.networks import build, load, optimizer_for
from dsfedmed.federated.site.tasks.soft_labels import synthetic_source
from dsfedmed.federated.site.uplink import UPDATE, announce
from dsfedmed.federated.wire.message import Message
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.seeds import derive_seed


def train(site: SiteContext, request: Message) -> Message:
    """Validate the weights that arrived, train on, and return the difference with the validation Dice.

    With ``epochs`` 0 only the validation is done.
    """
    info = request.info
    network = build(site, info, info["network"])
    arrived = resolve_weights(request, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    answer: dict[str, Any] = {"round": info["round"], "validation": validate(site, info, network)}
    if info["epochs"] == 0:
        return Message(answer)
    optimizer = optimizer_for(site, info, info["network"], network)
    restore_optimizer(site, info, optimizer, info["arm"])
    seed = derive_seed(info["seed"], site.name, info["arm"], info["round"])
    synthetic = synthetic_source(site, info)
    summary = fit(site, info, network, optimizer, seed, info["epochs"], synthetic, info.get("proximal", 0.0))
    keep_optimizer(site, info, optimizer, info["arm"])
    update = difference(trained_tensors(network), start)
    answer |= {
        UPDATE: announce(info),
        "weight": len(site.arrays("training", info["light"])),
        "loss": summary.mean_loss,
        "steps": summary.steps,
        "scalars": {f"{info['arm']}/loss": summary.mean_loss, f"{info['arm']}/validation_dice": answer["validation"]},
    }
    return Message(answer, update, True)


def local(site: SiteContext, request: Message) -> Message:
    """Train the light network on the site's images alone; its own validation picks the epoch."""
    info = request.info
    network = build(site, info, "light")
    load(network, under(request.tensors, "weights/"), site.config.device)
    optimizer = optimizer_for(site, info, "light", network)
    best, best_epoch, best_weights, steps = -1.0, 0, trained_tensors(network), 0
    epochs = info["epochs"]
    for epoch in range(1, epochs + 1):
        seed = derive_seed(info["seed"], site.name, "local", epoch)
        report = _over_epochs(site, epoch - 1, epochs)
        steps += fit(site, info, network, optimizer, seed, 1, None, on_progress=report).steps
        dice = validate(site, info, network)
        if dice > best:
            best, best_epoch = dice, epoch
            best_weights = copied_tensors(network)
    answer = {"validation": best, "epoch": best_epoch, "steps": steps}
    return Message(answer, pack(best_weights, info["precision"], site.name))


def _over_epochs(site: SiteContext, finished: int, epochs: int) -> OnProgress:
    """Return what reports the steps of one epoch as steps of all, ``finished`` epochs being done."""
    return lambda done, total: site.on_progress(finished * total + done, epochs * total)
