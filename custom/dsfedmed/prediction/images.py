# SPDX-License-Identifier: Apache-2.0
"""One image after the other: predict, write, add to the table; one that fails does not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsfedmed.errors import DataError
from dsfedmed.prediction.overlays import Overlays
from dsfedmed.prediction.predictor import Predictor
from dsfedmed.prediction.results import open_results, write_failures, write_masks, write_record
from dsfedmed.prediction.segmenting import Found
from dsfedmed.prediction.sources import Source
from dsfedmed.prediction.table import AreaTable
from dsfedmed.version import VERSION


@dataclass
class Outcome:
    """What became of the images.

    Attributes:
        done: images with a mask.
        empty: of them, those in which nothing was found.
        failed: the others in their order, and why each has none.
        files: written files by kind: "mask", "probability", "overlay".
    """

    done: int = 0
    empty: int = 0
    failed: list[tuple[str, DataError]] = field(default_factory=list)
    files: Counter[str] = field(default_factory=Counter)


def predict_images(
    predictor: Predictor,
    sources: Sequence[Source],
    out: Path,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    tell: Callable[[int, str], object] = lambda *_: None,
) -> Outcome:
    """Write masks, the table and what else is asked for into ``out``; memory does not grow with the images.

    Args:
        predictor: the model.
        sources: the images.
        out: folder of results (`results.open_results`).
        probabilities: write them as well.
        overlays: write outlines as well.
        tell: hears how many images are done and which one is next.

    Raises:
        ConfigError: ``out`` holds other things.
        StoreError: something cannot be written; nothing more is tried.
    """
    bundle = predictor.bundle
    open_results(out, bundle.sha256)
    outcome, drawn = Outcome(), Overlays(out, bundle.num_classes, bundle.nested)
    with AreaTable(out) as table:
        for number, source in enumerate(sources):
            tell(number, source.shown)
            look = drawn.of(source.name) if overlays else _not_at_all
            try:
                source.require_own_name()
                found = predictor.predict_source(source, probabilities=probabilities, look=look)
            except DataError as error:
                outcome.failed.append((source.shown, error))
                continue
            for path in write_masks(out, source.name, found):
                outcome.files["mask" if path.name.rpartition("_")[2].startswith("mask") else "probability"] += 1
            table.add(source.shown, found.areas)
            outcome.done += 1
        outcome.empty = table.empty
    outcome.files["overlay"] = drawn.written
    write_failures(out, outcome.failed)
    write_record(out, _record(predictor, outcome))
    return outcome


def _not_at_all(_: Found) -> None:
    """Look at nothing."""


def _record(predictor: Predictor, outcome: Outcome) -> dict[str, object]:
    bundle = predictor.bundle
    return {
        "model_sha256": bundle.sha256,
        "finished": True,
        "dsfedmed": VERSION,
        "classes": {str(label): name for label, name in enumerate(bundle.class_names, start=1)},
        "nested": bundle.nested,
        "images": outcome.done,
        "not_done": len(outcome.failed),
        "note": "Research only. Not for clinical use.",
    }
