# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_personal``: a round of pFedSAM. The global branch goes back up; the personal one stays at the site.

Files in ``personal/``: the branch behind each of the last rounds, its running mean where one is asked for, and the best
of what is scored, by the site's own validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.tasks.local_training import fit, keep_optimizer, restore_optimizer, validate
from dsfedmed.federated.site.tasks.networks import build, load, optimizer_for
from dsfedmed.federated.site.uplink import UPDATE, announce
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message
from dsfedmed.networks.local_experts import personal_branch
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_json, read_tensors, write_json, write_tensors
from dsfedmed.training.personal import PersonalConfig, global_phase, local_phase, sync_personal
from dsfedmed.training.task import Loss

FOLDER, MEAN = "personal", "mean-"


def personal(site: SiteContext, request: Message) -> Message:
    """Train both branches in their phases; return the global one's difference, and its validation as it arrived."""
    info = request.info
    config = PersonalConfig.from_dict(info["method"])
    shared = build(site, info, "low_rank")
    arrived = resolve_weights(request, site.folder, shapes_of(trained_tensors(shared)))
    start = load(shared, arrived, site.config.device)
    answer: dict[str, Any] = {"round": info["round"], "validation": validate(site, info, shared)}
    if info["epochs"] == 0:
        return Message(answer)
    loss = site.bundle(info["light"]).loss()
    if info["round"] <= config.warmup_rounds:
        mean_loss, steps = _train(site, info, shared, shared, loss, "global")
    else:
        mean_loss, steps = _both_phases(site, info, cast(PromptlessSam, shared), loss, config)
    answer |= {
        UPDATE: announce(info),
        "weight": len(site.arrays("training", info["light"])),
        "loss": mean_loss,
        "steps": steps,
        "scalars": {f"{info['arm']}/loss": mean_loss, f"{info['arm']}/validation_dice": answer["validation"]},
    }
    return Message(answer, difference(trained_tensors(shared), start), True)


def _both_phases(
    site: SiteContext, info: dict[str, Any], shared: PromptlessSam, loss: Loss, config: PersonalConfig
) -> tuple[float, int]:
    """Train the global branch, then the personal one; return the first's mean loss and the steps of both."""
    own = _own_branch(site, info, shared, config)
    sync_personal(own, shared, config.personal_sync)
    pupil, guided = global_phase(shared, own, loss, config)
    mean_loss, steps = _train(site, info, shared, pupil, guided, "global")
    pupil, guided = local_phase(shared, own, loss, config)
    steps += _train(site, {**info, "learning_rate": config.personal_rate}, own, pupil, guided, "personal")[1]
    _keep(site, info, "", copied_tensors(own))
    if config.personal_average:
        mean = _mean_branch(site, info, own, config.personal_average)
        _keep(site, info, MEAN, mean)
        own.load_state_dict(mean, strict=False)
    _keep_best(site, info, own, validate(site, info, own))
    return mean_loss, steps


def best_branch(site: SiteContext, info: dict[str, Any], arm: str) -> nn.Module | None:
    """Return the site's personal branch with the best validation, or None where the site never trained one."""
    path = _folder(site) / f"{arm}-best.safetensors"
    if not path.exists():
        return None
    config = PersonalConfig.from_dict(info["method"])
    shared = cast(PromptlessSam, build(site, info, "low_rank"))
    own = personal_branch(shared, config.experts, config.top_k, 0)
    load(own, read_tensors(path), site.config.device)
    return own


def _train(
    site: SiteContext, info: dict[str, Any], network: nn.Module, pupil: nn.Module, loss: Loss, phase: str
) -> tuple[float, int]:
    """Train one branch for the round's epochs; return its mean loss and its gradient steps."""
    optimizer, name = optimizer_for(site, info, "low_rank", network), f"{info['arm']}-{phase}"
    restore_optimizer(site, info, optimizer, name)
    seed = derive_seed(info["seed"], site.name, info["arm"], phase, info["round"])
    summary = fit(site, info, pupil, optimizer, seed, info["epochs"], None, loss=loss)
    keep_optimizer(site, info, optimizer, name)
    return summary.mean_loss, summary.steps


def _own_branch(site: SiteContext, info: dict[str, Any], shared: PromptlessSam, config: PersonalConfig) -> nn.Module:
    """Return the site's branch behind its last round before this one; at first, a copy of the global one."""
    seed = derive_seed(info["seed"], site.name, "experts")
    own = personal_branch(shared, config.experts, config.top_k, seed).to(site.config.device)
    if earlier := _behind_earlier_round(site, info, ""):
        load(own, earlier, site.config.device)
    return own


def _mean_branch(site: SiteContext, info: dict[str, Any], own: nn.Module, decay: float) -> dict[str, Tensor]:
    """Return the running mean over the branch's rounds, this one included: decay * mean + (1 - decay) * branch."""
    now, earlier = copied_tensors(own), _behind_earlier_round(site, info, MEAN)
    return {name: decay * earlier[name] + (1 - decay) * tensor for name, tensor in now.items()} if earlier else now


def _behind_earlier_round(site: SiteContext, info: dict[str, Any], kind: str) -> dict[str, Tensor]:
    """Return what was kept of the last round before this one; empty if there is none."""
    behind, stem = f"{info['round']:04d}", f"{info['arm']}-{kind}"
    files = sorted(path for path in _folder(site).glob(f"{stem}[0-9]*.safetensors") if path.stem < stem + behind)
    return read_tensors(files[-1]) if files else {}


def _keep(site: SiteContext, info: dict[str, Any], kind: str, weights: dict[str, Tensor]) -> None:
    number, stem = info["round"], f"{info['arm']}-{kind}"
    write_tensors(_folder(site) / f"{stem}{number:04d}.safetensors", weights)
    (_folder(site) / f"{stem}{number - CACHED_ROUNDS:04d}.safetensors").unlink(missing_ok=True)


def _keep_best(site: SiteContext, info: dict[str, Any], own: nn.Module, dice: float) -> None:
    """Keep the branch if the site's validation never was as good; the round stands beside it."""
    path = _folder(site) / f"{info['arm']}-best.json"
    if path.exists() and read_json(path)["validation_dice"] >= dice:
        return
    weights: dict[str, Tensor] = copied_tensors(own)
    write_tensors(path.with_suffix(".safetensors"), weights)
    write_json(path, {"round": info["round"], "validation_dice": dice})


def _folder(site: SiteContext) -> Path:
    return site.folder / FOLDER
