# SPDX-License-Identifier: Apache-2.0
"""One bad part in the synthetic set of a finished run: what is found of it, and of the honest parts beside it.

The pictures are those that the run drew, and one site's masks are changed as a wrong hospital's would be. The site's
validation is right, as where its branch alone is bad, or as wrong as its masks, as where it lies or knows no better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.robust.mask_adherence import Following
from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.federated.server.robust.part_scoring import PartScore, PartScoring
from dsfedmed.federated.server.robust.part_training import HalvedPart, PartTraining, halved_parts
from dsfedmed.seeds import derive_seed, generator
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

HONEST = "honest"
Pairs = tuple[Tensor, Tensor]
COLUMNS = ("bad site", "its masks", "its validation", "adherence of the bad part", "least of the honest",
           "most that another gains without the bad part", "without an honest one", "left out", "s")  # fmt: skip


def _shifted(share: float) -> Callable[[Pairs], Pairs]:
    def shift(pairs: Pairs) -> Pairs:
        pixels = round(share * pairs[1].shape[-1])
        return pairs[0], pairs[1].roll((pixels, pixels), (-2, -1))

    return shift


def _inverted(pairs: Pairs) -> Pairs:
    return pairs[0], int(pairs[1].max()) - pairs[1]


def _of_others(pairs: Pairs) -> Pairs:
    order = torch.randperm(len(pairs[1]), generator=generator(derive_seed(0, "poison", "parts")))
    return pairs[0], pairs[1][order]


def _one_picture(pairs: Pairs) -> Pairs:
    return pairs[0][:1].expand_as(pairs[0]).contiguous(), pairs[1]


KINDS: dict[str, Callable[[Pairs], Pairs]] = {
    "inverted": _inverted,
    "shifted by 12 %": _shifted(0.12),
    "shifted by 25 %": _shifted(0.25),
    "of other images": _of_others,
    "one picture for all": _one_picture,
}
"""Ways in which a part is bad."""


def spoilt(part: HalvedPart, kind: str) -> HalvedPart:
    """Return a part that is bad in one way."""
    change = KINDS[kind]
    images, labels = change((torch.cat([part.images, part.held_images]), torch.cat([part.labels, part.held_labels])))
    half = len(part.images)
    return HalvedPart(images[:half], labels[:half], images[half:], labels[half:])


@dataclass(frozen=True)
class Case:
    """One row: who is bad in which way, and whether that site's validation is wrong as well."""

    bad: str
    kind: str
    wrong_validation: bool


@dataclass
class Known:
    """What was trained before: parts alone, and networks, by site and kind of its part."""

    own: dict[tuple[str, str], list[Following]] = field(default_factory=dict)
    networks: dict[tuple[tuple[tuple[str, str], ...], int], nn.Module] = field(default_factory=dict)


class RememberingTraining(PartTraining):
    """Trains nothing twice: the rows differ in one part."""

    def __init__(self, finished: FinishedRun, parts: Mapping[str, HalvedPart], case: Case, known: Known) -> None:
        super().__init__(finished.plan, parts, str(finished.party.device))
        self._kinds, self._known = dict.fromkeys(parts, HONEST) | {case.bad: case.kind}, known

    def own(self, site: str, steps: int) -> Iterator[Following]:
        """Yield what is known before anything is trained."""
        kept = self._known.own.setdefault((site, self._kinds[site]), [])
        yield from list(kept)
        for number, found in enumerate(super().own(site, steps)):
            if number >= len(kept):
                kept.append(found)
                yield found

    def network(self, sites: Sequence[str], steps: int) -> nn.Module:
        """Return a known network, or train it."""
        key = tuple((site, self._kinds[site]) for site in sites), steps
        if key not in self._known.networks:
            self._known.networks[key] = super().network(sites, steps)
        return self._known.networks[key]


def tables(finished: FinishedRun, folder: Path, cases: Sequence[Case], name: str) -> Iterator[Benchmark]:
    """Score the parts of a run's set in every case, one after another; yield the table so far after each.

    Args:
        finished: the run.
        folder: its folder.
        cases: rows.
        name: of the table's files.
    """
    manifest = Manifest.from_dict(finished.store.get("synthesise").info)
    pool = SyntheticSet.open(folder / "synthetic", manifest, finished.store.get("audit").info["kept"])
    settings, parts = finished.plan.settings, halved_parts(pool, finished.plan.settings.seed)
    rules, rows, known = settings.robust, list[list[Cell]](), Known()
    pairs = ", ".join(f"{site} {part.pairs}" for site, part in parts.items())
    notes = [
        f"Pairs: {pairs}, {manifest.image_size} px. `{settings.light.bundle}`, {rules.part_steps} steps at a time. "
        f"Left out below an adherence of {rules.part_adherence:g}, or where another site gains more than "
        f"{rules.part_margin:g}.",
        "Adherence: share of what the best single mask for all images leaves of the Dice that a network gains which "
        "has learned half of the part. Gains: validation Dice, borne out by the witness's own part; empty where fewer "
        "than three parts were left to be tried.",
        "s: of this row; what an earlier row has trained is not trained again.",
    ]
    for case in cases:
        started = time.monotonic()
        found = _scores(finished, parts, case, known)
        rows.append(_row(case, found, time.monotonic() - started))
        title, where = "One bad part in the synthetic set", environment(finished.party.device)
        yield Benchmark(name, title, COLUMNS, list(rows), [*notes, f"{len(rows)} of {len(cases)} rows."], where)


def _scores(finished: FinishedRun, parts: Mapping[str, HalvedPart], case: Case, known: Known) -> dict[str, PartScore]:
    changed = dict(parts) if case.kind == HONEST else {**parts, case.bad: spoilt(parts[case.bad], case.kind)}
    training, rules = RememberingTraining(finished, changed, case, known), finished.plan.settings.robust
    scoring = PartScoring(training, rules, _validation(finished, case), lambda _: None)
    scoring.ask_for_adherence()
    for _ in range(rules.bad_sites):
        if not scoring.ask_for_harm():
            break
    return scoring.found


def _validation(finished: FinishedRun, case: Case) -> Callable[[nn.Module], dict[str, float]]:
    arrays = {site: finished.validation(site) for site in finished.sources}
    if case.wrong_validation:
        images, labels = KINDS[case.kind]((arrays[case.bad].images, arrays[case.bad].labels))
        arrays[case.bad] = SiteArrays(images, labels, arrays[case.bad].cases)
    facts = finished.plan.facts
    forward = replace(ForwardPass(facts.num_classes), device=finished.party.device)
    return lambda network: {site: quick_dice(network, found, forward, facts.nested) for site, found in arrays.items()}


def _row(case: Case, found: Mapping[str, PartScore], seconds: float) -> list[Cell]:
    honest = [site for site in found if case.kind == HONEST or site != case.bad]
    most = {site: _most(gain for other, gain in score.gains.items() if other != site) for site, score in found.items()}
    known = [found[site].adherence for site in honest]
    bad = None if case.kind == HONEST else case.bad
    return [
        bad or "none",
        case.kind,
        "wrong" if case.wrong_validation else "right",
        _rounded(found[bad].adherence if bad else None),
        _rounded(min((adherence for adherence in known if adherence is not None), default=None)),
        _rounded(most[bad] if bad else None),
        _rounded(_most(most[site] for site in honest)),
        ", ".join(site for site, score in found.items() if score.left_out) or "nothing",
        round(seconds, 1),
    ]


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> Cell:
    return None if value is None else round(value, 3)
