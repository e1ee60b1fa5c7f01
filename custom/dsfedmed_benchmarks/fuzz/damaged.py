# SPDX-License-Identifier: Apache-2.0
"""The damaged file of a number: its seed, how it is damaged, and its bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dsfedmed_benchmarks.fuzz import wrapped
from dsfedmed_benchmarks.fuzz.damage import DAMAGES, swapped
from dsfedmed_benchmarks.fuzz.seed import DATALIST, Seed
from dsfedmed_benchmarks.fuzz.seeds import all_seeds

BEHIND = 0.5
"""Share of packed files and of PNGs that are damaged behind their check sums, and of datalists that stay JSON."""
SWAPPED = 0.06


@dataclass(frozen=True)
class Damaged:
    """A damaged file: the seed, the name of the damage and the new content of ``seed.harmed``."""

    seed: Seed
    damage: str
    content: bytes


def damaged(number: int, seed: int) -> Damaged:
    """Return the damaged file of a number (0 and up); the same number and seed give the same bytes."""
    chosen = all_seeds()[number % len(all_seeds())]
    rng = random.Random(f"{seed}-{number}")
    content = chosen.files[chosen.harmed]
    if rng.random() < SWAPPED:
        others = [other.files[other.harmed] for other in all_seeds() if other.kind != chosen.kind]
        return Damaged(chosen, "swapped", swapped(content, rng, others))
    behind = rng.random() < BEHIND
    if behind and chosen.kind == DATALIST:
        return Damaged(chosen, "other values", wrapped.within_json(content, rng))
    damage = rng.choice(DAMAGES)
    if behind and chosen.harmed.endswith(".gz"):
        return Damaged(chosen, f"{damage.__name__}, packed", wrapped.within_gzip(content, rng, damage))
    if behind and chosen.kind == "PNG":
        return Damaged(chosen, f"{damage.__name__}, check sum right", wrapped.within_png(content, rng, damage))
    return Damaged(chosen, damage.__name__, damage(content, rng))
