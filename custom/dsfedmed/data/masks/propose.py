# SPDX-License-Identifier: Apache-2.0
"""What to write into a datalist about the masks of a folder: from all its files together, said aloud, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import read_raw
from dsfedmed.data.masks.decode import WHOLE, decode
from dsfedmed.data.masks.describe import colour_counts, coloured, describe, ends
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.errors import DataError

MOSTLY = 0.5  # share of files that have to look like instances before numbers are not taken for classes


@dataclass(frozen=True)
class Proposal:
    """rule: the mask entry. values: label values after mapping. label_map: to write. said: for people, in words."""

    rule: MaskRule
    values: frozenset[int]
    label_map: dict[int, int]
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Gathered:
    """Over all label files: kinds and how many, stored numbers, colours, ranges, planes and their mean areas."""

    kinds: Counter[str]
    values: frozenset[int]
    colours: dict[str, int]
    ends: tuple[float, float]
    planes: tuple[float, ...]


def propose(
    files: Sequence[Path], names: Sequence[str], label_map: Mapping[int, int] | None, rule: MaskRule | None
) -> Proposal:
    """Return what the masks mean.

    Args:
        files: all label files.
        names: foreground classes as they were given; empty where they were not.
        label_map: as it was given; None leaves it to be found.
        rule: as it was given; None leaves it to be found.

    Raises:
        DataError: naming a file or the folder: unreadable, or of a kind that leaves two meanings, with both ways to
            say which.
    """
    if rule is not None and rule.kind != "values":
        return _given(files, names, rule)
    found = _gather(files, max(1, len(names)))
    where = files[0].parent
    kinds = {kind.split(" (")[0] for kind in found.kinds}
    if label_map is None and rule is None:
        if any(kind.startswith("colour") for kind in kinds):
            return _colours(where, found, names)
        if any(kind.startswith("one-hot") for kind in kinds):
            return _one_hot(where, found, names)
        if any(kind.startswith(("soft", "fractions")) for kind in kinds):
            return _soft(where, found, names)
        instances = sum(count for kind, count in found.kinds.items() if kind.startswith("instance"))
        if instances > MOSTLY * len(files) and len(names) < 2:
            reason = f"the masks look like numbers of single objects ({instances} of {len(files)} files)"
            raise DataError(where, reason, "Say --mask instances, or name every class with --label-names.")
    return _numbers(where, found, names, label_map, rule or MaskRule())


def _gather(files: Sequence[Path], num_classes: int) -> _Gathered:
    kinds: Counter[str] = Counter()
    values: set[int] = set()
    colours: Counter[str] = Counter()
    lows, highs, planes = [0.0], [], []
    for path in files:
        raw = read_raw(path, label=True)
        kind = _kind(raw)
        kinds[kind] += 1
        if kind.startswith("colour"):
            shown = coloured(raw)
            colours.update(colour_counts(shown) if shown is not None and shown.dtype == np.uint8 else {})
        elif kind.startswith("one-hot"):
            planes.append(tuple(float(part) for part in (raw.array > 0).mean(axis=tuple(range(raw.array.ndim - 1)))))
        elif kind.startswith(("soft", "fractions")):
            low, high = ends(raw.array)
            lows.append(low)
            highs.append(high)
        else:
            plane = decode(raw, None, None) if raw.palette is not None or raw.alpha is not None else raw.array
            plane = plane[..., :1] if plane.shape[-1] > 1 and (plane == plane[..., :1]).all() else plane
            if plane.shape[-1] > 1:
                decode(raw, None, num_classes)  # says what it is, or refuses it
            values |= {int(value) for value in np.unique(np.rint(plane))}
    areas = tuple(np.mean(planes, axis=0)) if len({len(part) for part in planes}) == 1 else ()
    return _Gathered(kinds, frozenset(values), dict(colours), (min(lows), max(highs, default=255.0)), areas)


def _kind(raw: Raw) -> str:
    plain = raw.array.dtype.kind == "f" and raw.channels == 1 and bool(np.isfinite(raw.array).all())
    if plain and np.abs(raw.array - np.rint(raw.array)).max(initial=0) > WHOLE:
        return "fractions"
    return describe(raw)


def _given(files: Sequence[Path], names: Sequence[str], rule: MaskRule) -> Proposal:
    count = len(names)
    if rule.kind in ("threshold", "instances"):
        count = 1
    elif rule.kind == "colours":
        count = max((value for _, value in rule.colours), default=1)
    elif rule.kind == "one_hot":
        count = read_raw(files[0], label=True).channels - int(rule.background)
    values: set[int] = set()
    for path in files:
        values |= {int(value) for value in np.unique(decode(read_raw(path, label=True), rule, count))}
    if rule.ignore is not None:
        values -= {255}
    return Proposal(rule, frozenset(values | {count}), {})


def _colours(where: Path, found: _Gathered, names: Sequence[str]) -> Proposal:
    shown = ", ".join(f"{colour} {count} pixels" for colour, count in list(found.colours.items())[:8])
    bright = [colour for colour in found.colours if colour != "#000000"]
    if len(bright) == 1 and len(names) < 2:
        text = bright[0]
        rgb = (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))
        rule = MaskRule(kind="colours", colours=(((0, 0, 0), 0), (rgb, 1)))
        return Proposal(rule, frozenset({0, 1}), {}, (f"masks are drawn in {text} on black: {text} is label 1",))
    reason = f"the masks are colour pictures ({shown})"
    example = ",".join(f"{colour}:{number}" for number, colour in enumerate(list(found.colours)[:3]))
    raise DataError(where, reason, f"Say what each colour means: --mask colours={example}, or save label values.")


def _one_hot(where: Path, found: _Gathered, names: Sequence[str]) -> Proposal:
    planes = found.planes
    if len(planes) >= 2 and planes[0] == max(planes) and len(names) in (0, len(planes) - 1):
        said = f"masks have {len(planes)} planes, one a class; the first and largest is taken as the background"
        return Proposal(MaskRule(kind="one_hot"), frozenset(range(len(planes))), {}, (said,))
    areas = ", ".join(f"{100 * area:.0f} %" for area in planes)
    reason = f"the masks have one plane a class (areas {areas}), and which is the background is not plain"
    raise DataError(where, reason, "Save label values, or give --label-names and --mask one-hot with background first.")


def _soft(where: Path, found: _Gathered, names: Sequence[str]) -> Proposal:
    if len(names) > 1:
        reason = f"masks have soft edges, and {len(names)} classes are named"
        raise DataError(where, reason, "Save label values (PNG, nearest neighbour): soft edges know one class.")
    half = sum(found.ends) / 2
    count = sum(number for kind, number in found.kinds.items() if kind.startswith(("soft", "fractions")))
    said = f"{count} masks have soft edges or come from JPEG: brighter than {half:g} counts as label 1"
    return Proposal(MaskRule(kind="threshold", above=half), frozenset({0, 1}), {}, (said,))


def _numbers(
    where: Path, found: _Gathered, names: Sequence[str], label_map: Mapping[int, int] | None, rule: MaskRule
) -> Proposal:
    raw = found.values - ({rule.ignore} if rule.ignore is not None else set())
    mapping, said = dict(label_map or {}), []
    if label_map is None and len(names) < 2:
        foreground = sorted(raw - {0})
        if len(raw) == 2 and 0 not in raw:
            mapping = {foreground[0]: 0, foreground[1]: 1}
            said = [f"masks hold {foreground[0]} and {foreground[1]}: the larger is label 1"]
        elif len(foreground) == 1 and foreground != [1]:
            mapping = {foreground[0]: 1}
            said = [f"masks hold 0 and {foreground[0]}: {foreground[0]} is label 1"] if foreground != [255] else []
    values = {mapping.get(value, value) for value in raw}
    if max(values, default=0) > max(len(values - {0}), len(names)) or min(values, default=0) < 0:
        kinds = "; ".join(f"{count} files: {kind}" for kind, count in found.kinds.most_common(3))
        reason = f"label values are {sorted(raw)[:12]} ({kinds})"
        raise DataError(where, reason, "Say what they mean: --label-map 128=1,255=2, or --mask.")
    return Proposal(rule, frozenset(values), mapping, tuple(said))
