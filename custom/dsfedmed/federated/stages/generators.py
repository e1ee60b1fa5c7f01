# SPDX-License-Identifier: Apache-2.0
"""Stages "fit base" and "fit branches": the generator of every hospital, from private pairs that stay there."""

from __future__ import annotations

from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.tensors import check_tensors, specs_of
from dsfedmed.federated.averaging import federated_average
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.generator.diffusion import build_base, build_branch
from dsfedmed.generator.packing import unpack_label_maps
from dsfedmed.seeds import derive_seed
from dsfedmed.store.stage_store import StageResult

Weights = dict[str, Tensor]


def fit_base(flow: FederatedWorkflow, plan: Plan) -> Weights:
    """Train the diffusion base together by FedAvg, then freeze it. It sees images of all sites, masks of none."""
    schedule = flow.settings.generator
    with flow.stage("fit base"):
        if flow.store.has("fit base"):
            return flow.store.get("fit base").tensors
        weights, start = _latest_base(flow, plan)
        for number in range(start + 1, schedule.base_rounds + 1):
            info = {
                **plan.common,
                "generator": plan.generator.to_dict(),
                "round": number,
                "steps": schedule.base_steps,
                "first_step": (number - 1) * schedule.base_steps,
                "total_steps": schedule.base_rounds * schedule.base_steps,
            }
            request = Message(info, pack(weights, plan.settings.light.precision))
            weights, replies = federated_average(flow, "dsf_base", request, weights, plan.counts, ("loss",))
            flow.store.put(f"base-{number:04d}", {}, weights)
            flow.store.drop(f"base-{number - 1:04d}")
            loss = sum(reply.info["loss"] for reply in replies.values()) / len(replies)
            flow.track("generator/base_loss", loss, number)
            flow.progress.step(number, schedule.base_rounds, f"loss {loss:.4f}", start)
        flow.store.put("fit base", {"rounds": schedule.base_rounds}, weights)
        flow.store.drop(f"base-{schedule.base_rounds:04d}")
        return weights


def fit_branches(flow: FederatedWorkflow, plan: Plan, base: Weights) -> tuple[dict[str, Weights], dict[str, Tensor]]:
    """Let every site fit its branch; it leaves once, and with it masks to sample from.

    Returns:
        Branch weights and label maps, uint8 (N, 1, S, S), by site. A site that failed is left out of the synthetic
        set; it still takes part in everything that follows.
    """

    def make() -> StageResult:
        branches, masks, kinds = _collect(flow, plan, base)
        # In the order of the sites, not of arrival: the set and all that follows it must repeat.
        both = [site for site in flow.sources if site in branches and site in masks]
        tensors = {f"{site}/branch/{name}": t for site in both for name, t in branches[site].items()}
        tensors |= {f"{site}/masks": masks[site] for site in both}
        return StageResult({"sites": both, "masks": kinds}, tensors)

    result = flow.once("fit branches", make)
    sites = result.info["sites"]
    flow.record.put(masks=result.info["masks"])
    branches = {site: _under(result.tensors, f"{site}/branch/") for site in sites}
    return branches, {site: result.tensors[f"{site}/masks"] for site in sites}


def _collect(
    flow: FederatedWorkflow, plan: Plan, base: Weights
) -> tuple[dict[str, Weights], dict[str, Tensor], dict[str, str]]:
    settings, network = flow.settings, build_base(plan.generator)
    network.load_state_dict(base)
    specs = specs_of(build_branch(network, plan.generator).state_dict())
    branches: dict[str, Weights] = {}
    masks: dict[str, Tensor] = {}
    kinds: dict[str, str] = {}

    def take_branch(site: str, reply: Message) -> None:
        branches[site] = unpack(check_tensors(reply.tensors, specs, site))
        flow.progress.say(f"{site} sent its branch, loss {reply.info['loss']:.4f}, {reply.info['seconds']:.0f} s")

    def take_masks(site: str, reply: Message) -> None:
        label_maps = unpack_label_maps(reply.tensors, plan.facts.num_classes, settings.image_size, site)
        if len(label_maps) > settings.synthetic.per_site:
            raise PayloadError(site, "sent more masks than asked for", "Use the same version of dsfedmed everywhere")
        masks[site], kinds[site] = label_maps, str(reply.info["kind"])

    info = {**plan.common, "generator": plan.generator.to_dict(), "steps": settings.generator.branch_steps}
    flow.ask("dsf_branch", Message(info, pack(base, settings.light.precision)), on_reply=take_branch)
    request = Message({**plan.common, "count": settings.synthetic.per_site})
    flow.ask("dsf_masks", request, sites=list(branches), on_reply=take_masks)
    return branches, masks, kinds


def _latest_base(flow: FederatedWorkflow, plan: Plan) -> tuple[Weights, int]:
    for number in range(flow.settings.generator.base_rounds, 0, -1):
        if flow.store.has(f"base-{number:04d}"):
            return flow.store.get(f"base-{number:04d}").tensors, number
    return build_base(plan.generator, derive_seed(flow.settings.seed, "base")).state_dict(), 0


def _under(tensors: Weights, prefix: str) -> Weights:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
