# SPDX-License-Identifier: Apache-2.0
"""A label as training reads it: its file or files understood, joined, and brought onto the voxels of its image."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsfedmed.data.files.geometry import aligned
from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import place_of, read_volume, state_of
from dsfedmed.data.masks.decode import decode, foreign_value
from dsfedmed.data.masks.rule import IGNORED, MaskRule
from dsfedmed.errors import DataError

LABELS_KEPT = 8  # understood label volumes, for reading slice after slice


@dataclass(frozen=True)
class Labelling:
    """How a site's label files are read: the rule of its datalist, its classes K, and its ``label_map`` as pairs."""

    rule: MaskRule = field(default_factory=MaskRule)
    num_classes: int | None = None
    label_map: tuple[tuple[int, int], ...] = ()


def read_label(paths: Sequence[Path], how: Labelling, image: Path | None) -> Raw:
    """Return a label's values, ``array`` (X, Y, 1) uint8, or (X, Y, Z, 1) of a volume.

    Args:
        paths: one file, or several of one image, which ``how.rule.files`` joins: their union, or a class each, the
            later one on top.
        how: what the values mean.
        image: the image; the label comes on its voxels. None leaves it as it lies.

    Raises:
        DataError: naming the file that is damaged, not understood, or of another place or size than its image.
    """
    return _kept(tuple(paths), how, image, tuple(state_of(path) for path in (*paths, *([image] if image else ()))))


@functools.lru_cache(maxsize=LABELS_KEPT)
def _kept(paths: tuple[Path, ...], how: Labelling, image: Path | None, states: tuple[tuple[int, ...], ...]) -> Raw:
    del states  # part of the key only: files that have changed are read again
    place = place_of(image) if image is not None else None
    parts = []
    for path in paths:
        raw = read_volume(path, label=True)
        pairs = dict(how.label_map)
        array = decode(raw, how.rule, how.num_classes, pairs)
        foreign = foreign_value(raw, how.rule, how.num_classes, pairs)
        part = replace(raw, array=array, palette=None, alpha=None, foreign=foreign)
        parts.append(part if image is None else aligned(part, place, how.rule.geometry == "grid"))
    return parts[0] if len(parts) == 1 else _joined(parts, how)


def _joined(parts: list[Raw], how: Labelling) -> Raw:
    first = parts[0]
    result = np.zeros_like(first.array)
    ignored = np.zeros(first.array.shape, dtype=bool)
    for number, part in enumerate(parts, start=1):
        if part.array.shape != first.array.shape:
            sizes = [" x ".join(str(n) for n in raw.array.shape[:-1]) for raw in (part, first)]
            reason = f"it is {sizes[0]} and {first.path.name} is {sizes[1]}"
            raise DataError(part.path, reason, "All masks of an image have its size.")
        left = part.array == IGNORED
        drawn = (part.array > 0) & ~left
        ignored |= left
        result[drawn] = number if how.rule.files == "classes" else part.array[drawn]
    result[ignored & (result == 0)] = IGNORED  # what one mask leaves out another one may still say
    if how.rule.files == "union" and how.num_classes not in (None, 1):
        reason = f"it is one of {len(parts)} label files, and {how.num_classes} classes are declared"
        raise DataError(first.path, reason, 'Write "mask": {"files": "classes"} if each file is a class.')
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    foreign = next((part.foreign for part in parts if part.foreign is not None), None)
    return replace(first, array=result, notes=notes, foreign=foreign)
