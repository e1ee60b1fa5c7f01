# SPDX-License-Identifier: Apache-2.0
"""The integrity check a hospital runs first: every file is opened, every problem is listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsfedmed.data.arrays import unknown_values, unknown_values_fix
from dsfedmed.data.datalist import PARTS, Item, SiteDatalist, parse_datalist
from dsfedmed.data.formats import Raw, read_volume
from dsfedmed.data.reading import observed_values
from dsfedmed.errors import DataError

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One problem: an "error" stops a run, a "warning" is for a person to judge."""

    level: Level
    where: str
    reason: str
    fix: str


@dataclass(frozen=True)
class SiteCheck:
    """All findings of a site; the datalist is None when it could not be understood; label values per part."""

    findings: tuple[Finding, ...]
    datalist: SiteDatalist | None
    observed: dict[str, tuple[int, ...]]


def check_site(folder: str | Path) -> list[Finding]:
    """Open every file of a site and return all problems, errors first."""
    return list(inspect_site(folder).findings)


def inspect_site(folder: str | Path) -> SiteCheck:
    """Like :func:`check_site`, with the datalist and the label values that occur in each part."""
    datalist, problems = parse_datalist(Path(folder))
    findings = [_error(problem) for problem in problems]
    observed: dict[str, tuple[int, ...]] = {}
    if datalist is not None:
        for part in PARTS:
            values: set[int] = set()
            for item in datalist.parts[part]:
                values |= _check_item(datalist, item, findings)
            observed[part] = tuple(sorted(values))
            findings += _check_part(datalist, part, observed[part])
    unique = list(dict.fromkeys(findings))  # a damaged volume is one finding, not one per slice
    unique.sort(key=lambda finding: finding.level)
    return SiteCheck(tuple(unique), datalist, observed)


def _error(problem: DataError) -> Finding:
    return Finding("error", problem.where, problem.reason, problem.fix)


def _check_item(datalist: SiteDatalist, item: Item, findings: list[Finding]) -> set[int]:
    """Check one image and its label; return the label values seen."""
    image = _open(item.image, False, findings)
    if image is not None:
        try:
            low, high = image.window
            if low == high or (not image.volume and (image.array == image.array.flat[0]).all()):
                findings.append(Finding("warning", str(item.image), "the image is blank", "Look at it."))
        except DataError as error:
            findings.append(_error(error))
    if item.label is None:
        return set()
    label = _open(item.label, True, findings)
    if label is None:
        return set()
    if image is not None and (label.array.shape[:2] != image.array.shape[:2] or _slices(label) != _slices(image)):
        reason = f"the mask is {_size(label)} and its image {_size(image)}"
        findings.append(Finding("error", str(item.label), reason, "Export the mask at the size of its image."))
        return set()
    return _check_label(datalist, item, label, findings)


def _check_label(datalist: SiteDatalist, item: Item, label: Raw, findings: list[Finding]) -> set[int]:
    assert item.label is not None
    try:
        values = observed_values(label, item.slice_index, datalist.label_map)
    except DataError as error:
        findings.append(_error(error))
        return set()
    unknown = sorted(values - set(datalist.labels))
    if unknown:
        reason, fix = unknown_values(unknown, datalist.labels), unknown_values_fix(unknown)
        findings.append(Finding("error", str(item.label), reason, fix))
    return values


def _check_part(datalist: SiteDatalist, part: str, values: tuple[int, ...]) -> list[Finding]:
    """Judge a part as a whole."""
    items, where = datalist.parts[part], f"{datalist.root} ({part})"
    if not items:
        need = {"training": "A site that trains needs it.", "validation": "A site that trains selects on it."}
        return [Finding("warning", where, "the part is empty", need.get(part, "Nothing can be reported without it."))]
    findings = []
    unlabelled = sum(item.label is None for item in items)
    if unlabelled:
        reason = f"{unlabelled} of {len(items)} images have no label"
        findings.append(Finding("error", where, reason, "Add their labels or take the items out."))
    missing = [name for value, name in datalist.labels.items() if value and value not in values]
    if missing and unlabelled < len(items):
        findings.append(Finding("warning", where, f"no pixel is labelled {', '.join(missing)}", "Is that meant?"))
    paths = [(item.image, item.slice_index) for item in items]
    if len(set(paths)) != len(paths):
        findings.append(Finding("warning", where, "an image stands twice", "Keep one of its items."))
    return findings


def _open(path: Path, label: bool, findings: list[Finding]) -> Raw | None:
    try:
        return read_volume(path, label)
    except DataError as error:
        findings.append(_error(error))
        return None


def _slices(raw: Raw) -> int | None:
    return raw.array.shape[2] if raw.volume else None


def _size(raw: Raw) -> str:
    return " x ".join(str(n) for n in (raw.array.shape if raw.volume else raw.array.shape[:2]))
