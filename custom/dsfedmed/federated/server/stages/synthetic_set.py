# SPDX-License-Identifier: Apache-2.0
"""Stages "synthesise" and "audit": the synthetic set, streamed to the sites, checked by them and sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.data.labels import to_channels
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import Part, SyntheticSet, verify_shard, write_parts
from dsfedmed.devices import on_device, release_memory
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.generator_base import load_generator_base
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.generators import stored_branch, stored_masks
from dsfedmed.federated.server.vetoes import Decision, decide
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest
from dsfedmed.federated.wire.tasks import AUDIT
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import build_branch, load_branch_state
from dsfedmed.generator.quality import usable
from dsfedmed.generator.sample import sample
from dsfedmed.ranges import DISTANCES
from dsfedmed.reporting.pictures import contact_sheet
from dsfedmed.seeds import derive_seed
from dsfedmed.store.stage_store import StageResult

FOLDER, STAGE = "synthetic", "synthesise"
SHEET_PAIRS = 24
FEWER_STEPS = "Fit the branch for fewer steps, or add training images"


@dataclass(frozen=True)
class SealedSet:
    """The synthetic set after the audit, without bad parts: what is in it is fixed by ``sha256``.

    Attributes:
        pool: the candidates that were kept.
        kept: their indices.
        sha256: of manifest and kept indices.
        auditors: the sites that audited it; None for all.
        decliners: sites that vetoed something it holds: too much of the others' images, or too late.
    """

    pool: SyntheticSet
    kept: list[int]
    sha256: str
    auditors: frozenset[str] | None = None
    decliners: frozenset[str] = frozenset()


def synthesise(run: FederatedWorkflow, plan: FederationPlan, base: Weights, sites: list[str]) -> Manifest:
    """Generate images for the masks of every site's branch, D~ = U_k {(g(m; branch_k), m)}, and write the shards.

    One network takes the branches in turn and shards are written as they fill, so memory does not grow with the sites.
    """

    def make() -> StageResult:
        parts = _parts(run, plan, base, sites)
        manifest = write_parts(run.folder / FOLDER, parts, run.settings.synthetic.shard_size)
        release_memory()
        return StageResult(manifest.to_dict(), {})

    return set_made_once(run, STAGE, FOLDER, make)


def set_made_once(run: FederatedWorkflow, stage: str, folder: str, make: Callable[[], StageResult]) -> Manifest:
    """Return the manifest of a set of shards from the store, or make it; shards that are damaged are made again.

    Args:
        run: the workflow.
        stage: its name in the store.
        folder: of the shards, below the run folder.
        make: writes the shards there and returns their manifest.
    """
    known = run.store.has(stage)
    found = run.once(stage, make).info
    damage = _damage(run.folder / folder, Manifest.from_dict(found)) if known else ""
    if damage:
        run.note_redone(stage, f"{damage}; all shards are written again")
        again = make().info
        if again != found:  # drawn otherwise, as by another graphics card: nothing stays that was made from the old set
            run.store.redo([stage], run.BEGUN_WITH)
            run.store.put(stage, again)
        found = again
    return Manifest.from_dict(found)


def _damage(folder: Path, manifest: Manifest) -> str:
    """Say which shard of a finished set is not what it was; empty where all are."""
    try:
        for shard in manifest.shards:
            verify_shard(folder / shard.name, shard)
    except PayloadError as error:
        return f"{Path(error.where).name}: {error.reason}"
    return ""


def _parts(run: FederatedWorkflow, plan: FederationPlan, base: Weights, sites: list[str]) -> Iterator[Part]:
    """Yield images, label maps and origin site by site."""
    generator_base = load_generator_base(plan.generator, run.config, base)
    branch = on_device(build_branch(generator_base, plan.generator), run.config.device)
    for number, site in enumerate(sites, start=1):
        load_branch_state(branch, stored_branch(run.store, site), site)
        label_maps = stored_masks(run.store, site)
        made = _generate(run, plan, generator_base, branch, label_maps, site)
        good = usable(made)
        run.progress.step(number, len(sites), f"{site}: {int(good.sum())} of {len(made)} usable")
        yield made[good], label_maps[good], [site] * int(good.sum())


def audit(run: FederatedWorkflow, plan: FederationPlan, manifest: Manifest) -> SealedSet:
    """Stream the set to the source sites; each vetoes what is too close to its own training images; then seal it."""

    def make() -> StageResult:
        verdicts = _ask_for_verdicts(run, plan, manifest, run.sources, run.settings.min_sites)
        decision = _decide(run, manifest, verdicts)
        results = {site: _result(verdict, manifest.count) for site, verdict in verdicts.items()}
        return StageResult({"kept": decision.kept, "sites": results, "declining": sorted(decision.declining)}, {})

    result = run.once("audit", make).info
    declining = frozenset(result["declining"])
    run.record.put(audit=result["sites"])
    return _sealed(run, manifest, result["kept"], frozenset(result["sites"]) - declining, declining)


def sealed_without(run: FederatedWorkflow, sealed: SealedSet, sites: AbstractSet[str]) -> SealedSet:
    """Return the set sealed anew without the parts of ``sites``; the very same where it has none of them."""
    manifest = sealed.pool.manifest
    kept = [index for index in sealed.kept if manifest.origin[index] not in sites]
    if kept == sealed.kept:
        return sealed
    return _sealed(run, manifest, kept, sealed.auditors, sealed.decliners)


def _sealed(
    run: FederatedWorkflow,
    manifest: Manifest,
    kept: list[int],
    auditors: frozenset[str] | None,
    decliners: frozenset[str],
) -> SealedSet:
    """Open what was kept, draw its contact sheets and fix it."""
    pool = SyntheticSet.open(run.folder / FOLDER, manifest, kept)
    run.record.put(synthetic=_inspect(run, manifest, pool))
    seal = hashlib.sha256(f"{manifest.sha256}:{kept}".encode()).hexdigest()
    return SealedSet(pool, kept, seal, auditors, decliners)


def late_audit(run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, sites: list[str]) -> SealedSet:
    """Let sites that missed the audit do it now; the set stays as it was sealed.

    A site that vetoes something the sealed set holds is recorded, and will not take the set; the others join.

    Returns:
        The set with the sites that audited it by now, and those that declined it.
    """
    manifest = sealed.pool.manifest
    verdicts = _ask_for_verdicts(run, plan, manifest, sites, 0)
    declined = set()
    for site, verdict in verdicts.items():
        against = verdict.vetoed & set(sealed.kept)
        if against:
            text = f"too late to take out {len(against)} synthetic images; it trains without the set"
            run.record.event("vetoed", text, run.ledger.stage, None, site)
            declined.add(site)
    joined = (sealed.auditors or frozenset()) | (verdicts.keys() - declined)
    return replace(sealed, auditors=joined, decliners=sealed.decliners | declined)


def _ask_for_verdicts(
    run: FederatedWorkflow, plan: FederationPlan, manifest: Manifest, sites: list[str], needed: int
) -> dict[str, Verdict]:
    """Return the verdicts of the sites that gave one which fits the set."""
    verdicts: dict[str, Verdict] = {}

    def take(site: str, reply: Envelope[AuditReply]) -> None:
        verdicts[site] = _verdict(site, reply, manifest)

    with run.transport.offered(run.folder / FOLDER, manifest) as offer:
        asked = run.settings.synthetic
        body = AuditRequest(plan.common, offer, asked.audit_quantile, asked.broadcast)
        run.ask(AUDIT, Envelope(body), sites=sites, on_reply=take, at_least=needed)
    return {site: verdicts[site] for site in sites if site in verdicts}


def _generate(
    run: FederatedWorkflow,
    plan: FederationPlan,
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    label_maps: Tensor,
    site: str,
) -> Tensor:
    channels = to_channels(label_maps, plan.facts.num_classes, plan.facts.nested)
    seed = derive_seed(run.settings.seed, site, "synthesise")

    def report(done: int) -> None:
        run.progress.site("server", f"{site}: {done} of {len(label_maps)} images")

    return sample(generator_base, branch, channels, plan.generator, seed, on_batch=report)


@dataclass(frozen=True)
class Verdict:
    """What a site says of the set.

    Attributes:
        vetoed: indices of images that are too close to its own.
        distances: of every image, float32 (N,).
        threshold: below which an image is too close.
    """

    vetoed: frozenset[int]
    distances: Tensor
    threshold: float


def _verdict(site: str, reply: Envelope[AuditReply], manifest: Manifest) -> Verdict:
    if reply.tensors.keys() != {"vetoed", "distances"}:
        raise PayloadError(site, "sent no verdict on the synthetic set", SAME_VERSION)
    vetoed, distances = reply.tensors["vetoed"], reply.tensors["distances"]
    if vetoed.ndim != 1 or tuple(distances.shape) != (manifest.count,):
        raise PayloadError(site, "sent no verdict on the synthetic set", SAME_VERSION)
    if vetoed.dtype != torch.int64 or distances.dtype != torch.float32:
        raise PayloadError(site, "sent a verdict of other number types", SAME_VERSION)
    fits = len(vetoed) <= manifest.count and bool(((vetoed >= 0) & (vetoed < manifest.count)).all())
    if not fits or not bool(((distances >= DISTANCES.least) & (distances <= DISTANCES.most)).all()):
        raise PayloadError(site, "sent a verdict that does not fit the synthetic set", SAME_VERSION)
    return Verdict(frozenset(vetoed.tolist()), distances, reply.body.threshold)


def _decide(run: FederatedWorkflow, manifest: Manifest, verdicts: dict[str, Verdict]) -> Decision:
    """Return which images stay, and record what each site vetoed and what became of it.

    Raises:
        DSFedMedError: no image stays, or fewer than ``min_sites`` sites take the set.
    """
    vetoes = {site: verdict.vetoed for site, verdict in verdicts.items()}
    decision = decide(manifest.origin, vetoes, run.settings.synthetic.max_veto_share)
    said = {site: f"{len(vetoed)} of {manifest.count} synthetic images" for site, vetoed in vetoes.items() if vetoed}
    for site, text in said.items():
        run.record.event("vetoed", text, "audit", None, site)
    for site, share in decision.repeating.items():
        text = f"{share:.0%} of its branch's images are too close to its training images; the set has none of them"
        run.record.event("left out", f"{text}. {FEWER_STEPS}", "audit", None, site)
        run.progress.say(f"{site}: {text}")
    for site, share in decision.declining.items():
        text = f"it vetoes {share:.0%} of the other sites' images, which stay in the set; it trains without the set"
        run.record.event("declined", text, "audit", None, site)
        run.progress.say(f"{site}: {text}")
    heeded = len(verdicts) - len(decision.declining)
    if not decision.kept or heeded < min(run.settings.min_sites, len(verdicts)):
        reason = f"{len(decision.kept)} images stay, and {heeded} of {len(verdicts)} sites take them"
        every = "; ".join(f"{site} vetoes {text}" for site, text in said.items())
        raise DSFedMedError("audit", f"there is no synthetic set ({reason}: {every})", FEWER_STEPS)
    return decision


def _result(verdict: Verdict, candidates: int) -> dict[str, Any]:
    counts, edges = torch.histogram(verdict.distances.double(), bins=20)
    return {
        "candidates": candidates,
        "vetoed": len(verdict.vetoed),
        "threshold": verdict.threshold,
        "distances": {"edges": edges.tolist(), "counts": [int(count) for count in counts]},
    }


def _inspect(run: FederatedWorkflow, manifest: Manifest, pool: SyntheticSet) -> dict[str, Any]:
    """Draw a contact sheet per site of what was kept."""
    sheets: dict[str, str] = {}
    for site in sorted(set(pool.origin)):
        indices = [i for i, origin in enumerate(pool.origin) if origin == site][:SHEET_PAIRS]
        images = (pool.images(indices) * 255).round().to(torch.uint8)
        sheets[site] = f"{FOLDER}/{site}.png"
        contact_sheet(images, pool.labels(indices), run.folder / sheets[site])
    return {"count": manifest.count, "kept": len(pool), "bytes": manifest.bytes, "sheets": sheets}
