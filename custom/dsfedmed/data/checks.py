# SPDX-License-Identifier: Apache-2.0
"""The integrity check a hospital runs first: every file is opened, every problem is listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dsfedmed.data.arrays import unknown_values, unknown_values_fix
from dsfedmed.data.channels import PICTURE, require_channels
from dsfedmed.data.datalist import PARTS, Item, SiteDatalist, parse_datalist
from dsfedmed.data.files.damage.jpeg_damage import jpeg_doubt
from dsfedmed.data.files.listing import list_images
from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import read_volume
from dsfedmed.data.files.values import windows
from dsfedmed.data.labelling import read_label
from dsfedmed.data.masks.decode import hint
from dsfedmed.data.masks.describe import describe
from dsfedmed.data.masks.distinct import distinct
from dsfedmed.data.masks.rule import IGNORED
from dsfedmed.data.reading import check_one_grid
from dsfedmed.errors import DataError, one_line

Level = Literal["error", "warning", "note"]
SQUEEZED = 3.0  # ratio of sides from which resizing to a square is said
TINY = 5  # pixels
HOUNSFIELD = -500  # values below mean CT: air has -1000
# What a reader did and nobody needs to look at; everything else it says is a warning.
_DECLARED = "volumes are taken as channels"  # what nobody needs to hear where the datalist declares channels
_HARMLESS = ("turned upright", "brought onto", "padding pixels", "read at")


@dataclass(frozen=True)
class Finding:
    """One problem: an "error" stops a run, a "warning" is for a person to judge, a "note" is good to know.

    Each of its texts is one printable line, whatever the names in it are. Labels to train with that are missing are
    `unlabelled`: an error, but for methods whose sites need none.
    """

    level: Level
    where: str
    reason: str
    fix: str
    unlabelled: bool = False

    def __post_init__(self) -> None:
        """Make the texts printable."""
        for name in ("where", "reason", "fix"):
            object.__setattr__(self, name, one_line(getattr(self, name)))


@dataclass(frozen=True)
class SiteCheck:
    """All findings of a site; the datalist is None when it could not be understood.

    observed: label values per part. kinds: how many label files (or slices) seem to be of which kind.
    """

    findings: tuple[Finding, ...]
    datalist: SiteDatalist | None
    observed: dict[str, tuple[int, ...]]
    kinds: dict[str, int] = field(default_factory=dict)


def by_gravity(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, errors first, then warnings, then notes, else in the order in which they come."""
    order = get_args(Level)
    return sorted(dict.fromkeys(findings), key=lambda finding: order.index(finding.level))


class _Seen:
    """What is gathered over a site's files."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.kinds: Counter[str] = Counter()
        self.grouped: dict[tuple[Level, str, str], list[str]] = {}
        self.foreign: dict[int, list[str]] = {}
        self.declared = False
        self.images: set[Path] = set()

    def error(self, problem: DataError) -> None:
        self.findings.append(Finding("error", problem.where, problem.reason, problem.fix))

    def say(self, level: Level, where: Path, reason: str, fix: str) -> None:
        """Gather what is said of many files in the same words."""
        self.grouped.setdefault((level, reason, fix), []).append(str(where))

    def all(self) -> list[Finding]:
        """Return all findings, what is said of many files as one, errors first."""
        found = list(self.findings)
        for (level, reason, fix), names in self.grouped.items():
            files = list(dict.fromkeys(names))
            more = f" ({len(files)} files, this is the first)" if len(files) > 1 else ""
            found.append(Finding(level, files[0], reason + more, fix))
        return by_gravity(found)  # once each: a damaged volume is one finding, not one per slice


def check_site(folder: str | Path) -> list[Finding]:
    """Open every file of a site and return all problems, errors first."""
    return list(inspect_site(folder).findings)


def inspect_site(folder: str | Path) -> SiteCheck:
    """Like :func:`check_site`, with the datalist, the label values of each part, and the kinds of masks."""
    datalist, problems = parse_datalist(Path(folder))
    seen = _Seen()
    for problem in problems:
        seen.error(problem)
    observed: dict[str, tuple[int, ...]] = {}
    if datalist is not None:
        for part in PARTS:
            values: set[int] = set()
            for item in datalist.parts[part]:
                values |= _check_item(datalist, item, seen)
            observed[part] = tuple(sorted(values - {IGNORED} if datalist.ignore is not None else values))
            seen.findings += _check_part(datalist, part, observed[part])
        _check_foreign(seen)
        seen.findings += _shared_labels(datalist)
        seen.findings += _unlisted(datalist)
    return SiteCheck(tuple(seen.all()), datalist, observed, dict(seen.kinds))


def _check_item(datalist: SiteDatalist, item: Item, seen: _Seen) -> set[int]:
    """Check one image and its label; return the label values seen."""
    images = [_open(path, False, seen) for path in item.channel_files or (item.image,)]
    image = images[0]
    known = [raw for raw in images if raw is not None]
    for raw in known:
        _check_image(datalist, raw, seen, alone=len(images) == 1)
    try:
        check_one_grid(known)
    except DataError as error:
        seen.error(error)
    files = [_open(path, True, seen) for path in item.labels]
    labels = [raw for raw in files if raw is not None]
    if not labels or len(labels) < len(files):
        return set()
    return _check_label(datalist, item, image, labels, seen)


def _check_image(datalist: SiteDatalist, raw: Raw, seen: _Seen, alone: bool) -> None:
    if raw.path in seen.images:
        return  # another slice of the same file
    seen.images.add(raw.path)
    if (doubt := jpeg_doubt(raw.path)) is not None:
        seen.say("warning", raw.path, doubt, "Look at it, and copy it again.")
    for note in raw.notes:
        if _DECLARED in note and datalist.channels is not None:
            continue
        level: Level = "note" if any(word in note for word in _HARMLESS) else "warning"
        seen.say(level, raw.path, note, "Look at it.")
    if alone:
        _check_channels(datalist, raw, seen)
    try:
        edges = windows(raw, datalist.window)
        if (edges[:, 0] == edges[:, 1]).all() or (not raw.volume and (raw.array == raw.array.flat[0]).all()):
            seen.findings.append(Finding("warning", str(raw.path), "the image is blank", "Look at it."))
        elif _is_outside(raw.array, edges):
            reason = (
                f"all its values lie outside the window {edges[0].min():g} to {edges[0].max():g}, so that it is blank"
            )
            seen.say("warning", raw.path, reason, 'Write the right "window": [low, high] in datalist.json.')
    except DataError as error:
        seen.error(error)
        return
    x, y = raw.size
    if max(x, y) > SQUEEZED * min(x, y):
        reason = f"its sides are more than 1 to {SQUEEZED:g} and are squeezed to a square for training"
        seen.say("warning", raw.path, reason, "Cut it into parts that are nearer to a square, if that is not meant.")
    if min(x, y) < TINY:
        seen.say("warning", raw.path, f"a side has fewer than {TINY} pixels", "Is it a thumbnail?")
    if datalist.window is None and raw.array.dtype.kind in "if" and raw.array.min(initial=0) < HOUNSFIELD:
        reason = "it looks like CT in Hounsfield units, and no window is declared"
        fix = 'Write "window": [-160, 240] (soft tissue) or another in datalist.json, the same at every site.'
        seen.say("warning", raw.path, reason, fix)


def _is_outside(array: np.ndarray, edges: np.ndarray) -> bool:
    """Tell an image of which no value lies between the ends of its window."""
    for channel, ends in enumerate(edges):
        values = array[..., channel]  # one by one: NumPy is 20 times slower along all axes but a last one of three
        if values.max() > ends.min() and values.min() < ends.max():
            return False
    return True


def _check_channels(datalist: SiteDatalist, raw: Raw, seen: _Seen) -> None:
    found, wanted = raw.channels, datalist.channels
    if wanted is None and found not in PICTURE:
        reason = f"it has {found} channels, and the datalist declares none"
        fix = f'Write "channels": {found} in datalist.json if all are meant, or export the channels wanted.'
        seen.findings.append(Finding("error", str(raw.path), reason, fix))
        return
    try:
        require_channels(raw.path, found, wanted or found)
    except DataError as error:
        seen.error(error)


def _check_label(datalist: SiteDatalist, item: Item, image: Raw | None, labels: list[Raw], seen: _Seen) -> set[int]:
    """Check the masks of one image (or of one of its slices); return the label values seen."""
    assert item.label is not None
    for raw in labels:
        for note in raw.notes:
            level: Level = "note" if any(word in note for word in _HARMLESS) else "warning"
            seen.say(level, raw.path, note, "Look at it.")
        plane = raw if item.slice_index is None or not raw.volume else _one_slice(raw, item.slice_index)
        seen.kinds[describe(plane)] += 1
    try:
        label = read_label(item.labels, datalist.labelling, item.image if image is not None else None)
    except DataError as error:
        seen.error(error)
        return set()
    if label.foreign is not None:
        seen.foreign.setdefault(label.foreign, []).append(str(item.label))
    for note in set(label.notes) - {note for raw in labels for note in raw.notes}:
        seen.say("note", item.label, note, "Look at it.")
    if image is not None and (label.size != image.size or label.slices != image.slices):
        reason = f"the mask is {_size(label)} and its image {_size(image)}"
        seen.findings.append(Finding("error", str(item.label), reason, "Export the mask at the size of its image."))
        return set()
    if item.slice_index is not None and (not label.volume or item.slice_index >= (label.slices or 0)):
        return set()  # its image cannot be read, which is said, so that its size is held against nothing
    array = label.array if item.slice_index is None else label.array[:, :, item.slice_index]
    values = {int(value) for value in distinct(array)}
    seen.declared |= label.foreign is None and 1 in values
    allowed = set(datalist.labels) | ({IGNORED} if datalist.ignore is not None else set())
    unknown = sorted(values - allowed)
    if unknown:
        fix = hint(labels[0]) if len(unknown) > 3 else unknown_values_fix(unknown)
        reason = unknown_values(unknown, datalist.labels)
        seen.findings.append(Finding("error", str(item.label), reason, fix))
    return values


def _one_slice(raw: Raw, index: int) -> Raw:
    """Return one slice of a label as stored, for a look at its kind; the middle one where the label is shorter."""
    at = min(index, raw.array.shape[2] - 1)
    return replace(raw, array=raw.array[:, :, at], volume=False)


def _check_foreign(seen: _Seen) -> None:
    """Refuse a site whose two-valued masks use several numbers: only one of them can be the class."""
    if len(seen.foreign) > 1 or (seen.foreign and seen.declared):
        shown = ", ".join(f"{value} ({len(set(names))} files)" for value, names in sorted(seen.foreign.items()))
        shown += ", besides declared ones" if seen.declared else ""
        reason = f"masks of 0 and one other number use different ones: {shown}"
        fix = 'Say what each means: "label_map": {"128": 0, "255": 1}, for example, or correct the files.'
        seen.findings.append(Finding("error", seen.foreign[min(seen.foreign)][0], reason, fix))


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
        fix = "Add their labels or take the items out."
        findings.append(Finding("error", where, reason, fix, unlabelled=part != "test"))
    missing = [name for value, name in datalist.labels.items() if value and value not in values]
    if missing and unlabelled < len(items):
        findings.append(Finding("warning", where, f"no pixel is labelled {', '.join(missing)}", "Is that meant?"))
    paths = [(item.image, item.slice_index) for item in items]
    if len(set(paths)) != len(paths):
        findings.append(Finding("warning", where, "an image stands twice", "Keep one of its items."))
    findings += [
        Finding("error", str(item.image), "it is listed as image and as its own label", "Correct the item.")
        for item in items
        if item.image in item.labels and not item.slice_index
    ]
    return findings


def _shared_labels(datalist: SiteDatalist) -> list[Finding]:
    """Tell labels that are listed with more than one image: one of them is likely not the image's own."""
    images: dict[Path, dict[Path, None]] = {}
    for items in datalist.parts.values():
        for item in items:
            for label in item.labels:
                images.setdefault(label, {})[item.image] = None
    return [
        Finding("warning", str(label), f"it is the label of {len(found)} images ({shown})", "Is that meant?")
        for label, found in images.items()
        if len(found) > 1 and (shown := " and ".join(path.name for path in list(found)[:2]))
    ]


def _unlisted(datalist: SiteDatalist) -> list[Finding]:
    """Count the image files of the folder that stand in no part."""
    listed: set[Path] = set()
    for items in datalist.parts.values():
        for item in items:
            listed |= {*item.labels, item.image, *item.channel_files}
    found = [path for path in list_images(datalist.root, deep=True).images if path not in listed]
    left = [path for path in found if path.parent not in listed]
    if not left:
        return []
    reason = f"{len(left)} image files in the folder are in no part of the datalist"
    return [Finding("note", str(left[0]), f"{reason} (this is the first)", "List them if they are meant.")]


def _open(path: Path, label: bool, seen: _Seen) -> Raw | None:
    try:
        return read_volume(path, label)
    except DataError as error:
        seen.error(error)
        return None


def _size(raw: Raw) -> str:
    return " x ".join(str(n) for n in (*raw.size, *((raw.slices,) if raw.slices else ())))
