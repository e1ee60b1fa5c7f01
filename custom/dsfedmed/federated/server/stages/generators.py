# SPDX-License-Identifier: Apache-2.0
"""Stages "fit base" and "fit branches": the generator of every hospital, from private pairs that stay there.

A branch, and the masks to sample it with, go to the store as they arrive: memory never holds those of two hospitals,
and a run that is killed asks only the hospitals that are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.federated.party.generator_base import generator_base_sha256, shapes_only
from dsfedmed.federated.server.averaging import collected
from dsfedmed.federated.server.given_base import given_base
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION, to_object
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.generator import (
    BaseReply,
    BaseRequest,
    BranchPrivacy,
    BranchReply,
    BranchRequest,
    MasksReply,
    MasksRequest,
)
from dsfedmed.federated.wire.tasks import BASE, BRANCH, MASKS
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.generator.packing import unpack_label_maps
from dsfedmed.seeds import derive_seed
from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import StageResult, StageStore


def trains_base(settings: Settings) -> bool:
    """Tell whether the sites train the frozen part; a given one is the server's, a Stable Diffusion every party has."""
    embedded = settings.generator_model.get("base", "embedded") == "embedded"
    return bool(embedded and settings.generator.base == "fitted")


def frozen_base(run: FederatedWorkflow, plan: FederationPlan) -> Weights:
    """Return the weights of the common base that travel with the requests: none where every party has its folder."""
    if not plan.generator.is_embedded:
        return {}
    return fit_base(run, plan) if trains_base(run.settings) else given_base(run, plan)


def fit_base(run: FederatedWorkflow, plan: FederationPlan) -> Weights:
    """Train the diffusion base together by FedAvg, then freeze it. It sees images of all sites, masks of none."""
    schedule = run.settings.generator
    with run.stage("fit base"):
        if run.store.has("fit base"):
            return run.store.get("fit base").tensors
        weights, start = _latest_base(run, plan)
        for number in range(start + 1, schedule.base_rounds + 1):
            steps, total = schedule.base_steps, schedule.base_rounds * schedule.base_steps
            body = BaseRequest(plan.common, plan.generator, number, steps, (number - 1) * steps, total)
            request = Envelope(body, pack(weights, plan.settings.light.precision))
            with collected(run, BASE, request, weights, plan.counts, partial(_check_base, number)) as found:
                weights, replies = found.average_by_form(run, BASE.name), found.replies
            run.store.put(f"base-{number:04d}", {}, weights)
            run.store.drop(f"base-{number - 1:04d}")
            loss = sum(reply.body.loss for reply in replies.values()) / len(replies)
            run.track("generator/base_loss", loss, number)
            run.progress.step(number, schedule.base_rounds, f"loss {loss:.4f}", start)
        run.store.put("fit base", {"rounds": schedule.base_rounds}, weights)
        run.store.drop(f"base-{schedule.base_rounds:04d}")
        return weights


def fit_branches(run: FederatedWorkflow, plan: FederationPlan, base: Weights) -> list[str]:
    """Let every site fit its branch; it leaves once, and with it masks to sample from.

    Returns:
        The sites whose branch and masks lie in the store (`stored_branch`, `stored_masks`), in the order of the sites
        and not of arrival, for the set and all that follows it must repeat. A site that failed is left out of the
        synthetic set; it still takes part in everything that follows.
    """

    def make() -> StageResult:
        _ask(run, "branch", run.sources, partial(_collect_branches, run, plan, base))
        senders = [site for site in run.sources if run.store.has(_entry("branch", site))]
        _ask(run, "masks", senders, partial(_collect_masks, run, plan))
        both = [site for site in senders if run.store.has(_entry("masks", site))]
        kinds = {site: run.store.get(_entry("masks", site)).info["kind"] for site in both}
        stated = {site: run.store.get(_entry("branch", site)).info["privacy"] for site in senders}
        private = {site: said for site, said in stated.items() if said is not None}
        return StageResult({"sites": both, "masks": kinds, "privacy": private}, {})

    result = run.once("fit branches", make)
    run.record.put(masks=result.info["masks"], branch_privacy=result.info["privacy"])
    sites: list[str] = result.info["sites"]
    return sites


def stored_branch(store: StageStore, site: str) -> Weights:
    """Return what the site trained of its branch, float32, for `load_branch_state`."""
    return unpack(store.get(_entry("branch", site)).tensors)


def stored_masks(store: StageStore, site: str) -> Tensor:
    """Return the site's label maps, uint8 (N, 1, S, S)."""
    return store.get(_entry("masks", site)).tensors["masks"]


def _entry(what: str, site: str) -> str:
    return f"{what}-{site}"


def _ask(run: FederatedWorkflow, what: str, sites: list[str], collect: Callable[[list[str], int], None]) -> None:
    """Ask the sites whose answer is not in the store yet; those that are count among ``min_sites``."""
    missing = [site for site in sites if not run.store.has(_entry(what, site))]
    if missing:
        needed = run.settings.min_sites - (len(sites) - len(missing))
        collect(missing, max(needed, 0))


def _collect_branches(
    run: FederatedWorkflow, plan: FederationPlan, base: Weights, sites: list[str], needed: int
) -> None:
    specs = specs_of(branch_state(build_branch(shapes_only(plan.generator, run.config), plan.generator)))

    def keep(site: str, reply: Envelope[BranchReply]) -> None:
        loss, stated = reply.body.loss, reply.body.privacy
        info = {"loss": loss, "privacy": None if stated is None else to_object(stated)}
        run.store.put(_entry("branch", site), info, check_tensors(reply.tensors, specs, site))
        said = f"loss {loss:.4f}" if loss is not None else "its loss stays there"
        said += f", private at epsilon {stated.epsilon:.3g}" if stated is not None else ""
        run.progress.say(f"{site} sent its branch, {said}, {reply.header.seconds:.0f} s")

    sha256 = generator_base_sha256(plan.generator, run.config, run.folder)
    asked = run.settings.generator
    privacy = BranchPrivacy(asked.branch_epsilon, asked.branch_delta, asked.branch_clip, asked.branch_draws)
    body = BranchRequest(plan.common, plan.generator, sha256, asked.branch_steps, privacy)
    request = Envelope(body, pack(base, run.settings.light.precision))
    run.ask(BRANCH, request, sites=sites, on_reply=keep, at_least=needed)


def _collect_masks(run: FederatedWorkflow, plan: FederationPlan, sites: list[str], needed: int) -> None:
    wanted = run.settings.synthetic.per_site

    def keep(site: str, reply: Envelope[MasksReply]) -> None:
        label_maps = unpack_label_maps(reply.tensors, plan.facts.num_classes, run.settings.image_size, site)
        if len(label_maps) > wanted:
            raise PayloadError(site, "sent more masks than asked for", SAME_VERSION)
        run.store.put(_entry("masks", site), {"kind": reply.body.kind}, {"masks": label_maps})

    request = Envelope(MasksRequest(plan.common, wanted))
    run.ask(MASKS, request, sites=sites, on_reply=keep, at_least=needed)


def _check_base(number: int, site: str, reply: BaseReply) -> None:
    if reply.round != number:
        raise PayloadError(site, f"answered round {reply.round} instead of {number}", SAME_VERSION)


def _latest_base(run: FederatedWorkflow, plan: FederationPlan) -> tuple[Weights, int]:
    for number in range(run.settings.generator.base_rounds, 0, -1):
        if run.store.has(f"base-{number:04d}"):
            return run.store.get(f"base-{number:04d}").tensors, number
    return build_base(plan.generator, derive_seed(run.settings.seed, "base")).state_dict(), 0
