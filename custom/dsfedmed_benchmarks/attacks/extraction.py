# SPDX-License-Identifier: Apache-2.0
"""Extraction with canaries: how near images drawn from a branch come to pictures planted among its own.

The attacker draws images for the canary's mask and looks which of the site's pictures of other patients they come
nearest to, against how near these come to images of other canaries' masks. From a set, whose masks are deformed and of
all images, the nearest of all its images counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.data.labels import to_channels
from dsfedmed.generator.audit import audit
from dsfedmed.generator.mask_sampler import deform_label_maps
from dsfedmed.generator.sample import sample
from dsfedmed.seeds import derive_seed
from dsfedmed_benchmarks.attacks.exposure import calibrated, chance_exposure, distances, exposure, mean, rank_of
from dsfedmed_benchmarks.attacks.plan import Canaries
from dsfedmed_benchmarks.attacks.roster import Roster
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("attacked", "drawn from", "copies", "ranks of the canaries", "mean exposure (bits)",
           "chance stays below (97.5 %)", "correlation with the canary", "vetoed by the audit (%)")  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Images drawn from one branch.

    Attributes:
        attacked: name of the branch in the table.
        canaries: what was planted in it, or would have been.
        planted: whether it was.
        by_mask: uint8 (c, draws, C, S, S), for each canary's mask.
        as_set: uint8 (n, C, S, S), for deformed masks of all images of the fit; empty where no set is drawn.
        training: (m, C, S, S) all images of the fit once, for the audit.
    """

    attacked: str
    canaries: Canaries
    planted: bool
    by_mask: Tensor
    as_set: Tensor
    training: Tensor


def run(roster: Roster, draws: int = 16, per_set: int = 360) -> Benchmark:
    """Draw from the overfitted branch, the honest one with canaries and the run's, which has none; return the table."""
    victim = roster.victim
    few, all_copies = roster.canaries(overfitted=True), roster.canaries(overfitted=False)
    roster.say("drawing")
    found = [
        _drawn(roster, "overfitted branch", roster.overfitted(), few, draws, per_set),
        _drawn(roster, "honest branch", roster.honest(), all_copies, draws, per_set),
        _drawn(roster, "branch of the run, nothing planted", victim.run.branch(victim.site), all_copies, draws, 0),
    ]
    pool = victim.others.images
    rows = [row for one in found for row in rows_of(one, pool)]
    candidates = [len(one.canaries.candidates(len(pool))) for one in found]
    notes = _notes(roster, draws, per_set, candidates)
    return Benchmark("attacks-extraction", "Extraction of canaries from a branch", COLUMNS, rows, notes, environment())


def rows_of(drawn: Drawn, pool: Tensor) -> list[tuple[Cell, ...]]:
    """Return one row for each number of copies and source of images; ``pool`` (p, C, S, S) holds every candidate."""
    canaries = drawn.canaries
    rest = canaries.candidates(len(pool))
    nearest = torch.stack([distances(each, pool).amin(dim=0) for each in drawn.by_mask])
    by_mask, as_set = _vetoed(drawn, pool[rest])
    rows: list[tuple[Cell, ...]] = []
    copies = sorted(set(canaries.copies)) if drawn.planted else [0]
    for number in copies:
        places = [place for place, times in enumerate(canaries.copies) if times == number or not drawn.planted]
        ranks = []
        for place in places:
            nearer = calibrated(nearest, place)
            ranks.append(rank_of(float(nearer[canaries.pictures[place]]), nearer[rest]))
        reached = [1 - float(nearest[place, canaries.pictures[place]]) for place in places]
        vetoed = 100 * float(by_mask[places].float().mean())
        rows.append(_row(drawn.attacked, "canary's mask", number, ranks, len(rest), mean(reached), vetoed))
    if not len(drawn.as_set):
        return rows
    closest = torch.stack([distances(drawn.as_set.flip(dims), pool).amin(dim=0) for dims in ([], [2])]).amin(dim=0)
    for number in copies:
        chosen = canaries.pictures[torch.tensor(canaries.copies) == number].tolist()
        ranks = [rank_of(float(closest[picture]), closest[rest]) for picture in chosen]
        reached = [1 - float(closest[picture]) for picture in chosen]
        vetoed = 100 * float(as_set.float().mean())
        rows.append(_row(drawn.attacked, "deformed masks", number, ranks, len(rest), mean(reached), vetoed))
    return rows


def _vetoed(drawn: Drawn, held_out: Tensor) -> tuple[Tensor, Tensor]:
    """Return which images by mask, bool (c, draws), and of the set, bool (n,), the audit vetoes."""
    images = torch.cat([drawn.by_mask.flatten(0, 1), drawn.as_set])
    vetoed = torch.zeros(len(images), dtype=torch.bool)
    vetoed[audit(images, drawn.training, held_out).vetoed] = True
    first, second = vetoed.split([len(images) - len(drawn.as_set), len(drawn.as_set)])
    return first.view(drawn.by_mask.shape[:2]), second


def _row(
    attacked: str, source: str, copies: int, ranks: Sequence[float], candidates: int, reached: float, vetoed: float
) -> tuple[Cell, ...]:
    bits = mean([exposure(rank, candidates) for rank in ranks])
    chance = chance_exposure(len(ranks), candidates, 0.975)
    shown = ", ".join(f"{rank:g}" for rank in sorted(ranks))
    return attacked, source, copies, f"{shown} of {candidates + 1}", bits, chance, reached, vetoed


def _drawn(
    roster: Roster, name: str, branch: ControlNetModel, canaries: Canaries, draws: int, per_set: int
) -> Drawn:  # fmt: skip
    victim, base = roster.victim, roster.victim.run.generator_base
    config, planted = victim.run.plan.generator, not name.startswith("branch of the run")
    masks = victim.others.channels[canaries.masks]
    seed = derive_seed(roster.budget.seed, "draw", name)
    images = sample(base, branch, masks.repeat_interleave(draws, dim=0), config, seed)
    is_few = name.startswith("overfitted")
    chosen = roster.few if is_few else torch.ones_like(roster.few)
    as_set = images[:0]
    if per_set:
        times = torch.tensor(canaries.copies)
        labels = torch.cat([
            victim.own_labels[chosen], victim.others_labels[canaries.masks].repeat_interleave(times, dim=0)
        ])  # fmt: skip
        bent = deform_label_maps(labels, per_set, derive_seed(seed, "masks"))
        bundle = victim.run.plan.light_bundle
        as_set = sample(
            base, branch, to_channels(bent, bundle.num_classes, bundle.nested), config, derive_seed(seed, "set")
        )
    training = [victim.own.images[chosen]]
    if planted:
        training.append(victim.others.images[canaries.pictures])
    shape = (len(canaries.copies), draws, *images.shape[1:])
    return Drawn(name, canaries, planted, images.view(shape), as_set, torch.cat(training))


def _notes(roster: Roster, draws: int, per_set: int, candidates: Sequence[int]) -> tuple[str, ...]:
    victim, budget = roster.victim, roster.budget
    own, honest, few = len(victim.own.images), len(roster.planted(False).images), len(roster.planted(True).images)
    return (
        f"Site {victim.site}. A canary is a picture of the site's validation and test images with the mask of another "
        f"of them, drawn at random; the candidates are the {min(candidates)} to {max(candidates)} of these pictures "
        "that were not planted. Rank 1 is a canary that was found. Without memory every rank is as likely.",
        f"Overfitted: {budget.few} own images and {budget.each} canaries, {victim.passes(budget.few_steps, few):.0f} "
        f"passes. Honest: all own images and canaries in the run's {victim.preset_steps} steps, "
        f"{victim.passes(victim.preset_steps, honest):.0f} passes; the run had "
        f"{victim.passes(victim.preset_steps, own):.0f}.",
        f"{draws} images for each canary's mask; the set has {per_set} images for deformed masks. Distance: one minus "
        "the correlation of pixels.",
        "The audit compares with the images of the fit, canaries included; the candidates are its held-out images.",
    )
