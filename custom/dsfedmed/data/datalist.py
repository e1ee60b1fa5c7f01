# SPDX-License-Identifier: Apache-2.0
"""A site's ``datalist.json`` (MONAI/Decathlon form) as checked, typed items.

Keys: ``name``, ``description``, ``modality``, ``labels`` ({"0": "background", "1": "lesion"}), and the parts
``training``, ``validation`` and ``test``, each a list of ``{"image", "label", "case"}`` with paths relative to the
folder. ``case`` names the patient (default: every image is its own case); ``label`` may be left out where none exists.

Optional keys of this project:

- ``nested`` (default true): a higher label lies inside the lower ones (cup in disc).
- ``label_map``: values to rewrite while reading, such as {"128": 1, "255": 2}. A site with a single foreground class
  reads 255 as 1 unless it says otherwise, since binary masks are so often stored as 0/255.
- ``channels``: 1 to 16, what the site's images mean (grey ultrasound is often stored as RGB). More than 3, and 2, are
  read only where it says so.
- ``channel_names``: names of the channels as the site's files have them, such as ["T2", "T1"]. Sites that name them
  have them in one order, that of the names (case aside); an image is then one file with that many channels, a list of
  files in the order of ``channel_names``, or {"T1": path, "T2": path}.
- ``window``: [low, high], the numbers that become 0 and 1 (Hounsfield units of CT); see ``data.files.values``.
- ``mask``: what label files mean where their numbers do not say so (soft edges, colours, one-hot planes, instances, a
  value to ignore); see ``data.masks.rule``. ``label`` may be a list of files of one image.
- ``made_up`` (default false): whether the images are made up, as the demo's are; reports say so.
- ``slices`` ("labelled" by default, or "all"): which slices of volumes, stacks and clips to use. "labelled" keeps the
  slices with foreground for training and validation; the test part always takes every slice, since choosing its slices
  by their labels would make the test easier than the clinic.

Paths are relative to the folder; backslashes and either form of accents are understood, and a folder that holds one
DICOM series is an image (or label) like a file. The file may begin with a byte order mark.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from dsfedmed.data.channels import channel_order, names_problem, sorted_names, usable_channels
from dsfedmed.data.files.listing import composed, found_as
from dsfedmed.data.files.read import probe
from dsfedmed.data.labelling import Labelling, read_label
from dsfedmed.data.masks.rule import IGNORED, MaskRule, parse_rule
from dsfedmed.documents import parse_json, read_bytes
from dsfedmed.errors import DataError, one_line, worded
from dsfedmed.ranges import shortened

FILE_NAME = "datalist.json"
PARTS = ("training", "validation", "test")
SLICES = ("labelled", "all")
_LIKE_CASE = frozenset({"patient", "patientid", "patientname", "subject", "subjectid", "caseid", "pid"})
LONGEST_LABEL = 40
"""Letters of a class's name, as it travels (`dsfedmed.data.facts`)."""
LONGEST_NAME = 255
"""Bytes of a file's or folder's name that common file systems take."""
LONGEST_PATH = 4000
"""Bytes of a whole path that Linux takes, less a few."""
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, halves of letters
_NEVER_STACKS = (".png", ".jpg", ".jpeg", ".bmp", ".npy")


@dataclass(frozen=True)
class Item:
    """One image (or one slice of a volume), its label if it has one, and the patient it belongs to.

    ``image`` and ``label`` are the first file where there are several: ``channel_files`` holds one file a channel, in
    the order of the channels, and ``label_files`` all masks of the image; both are empty where there is one.
    """

    image: Path
    label: Path | None
    case: str
    slice_index: int | None = None
    channel_files: tuple[Path, ...] = ()
    label_files: tuple[Path, ...] = ()

    @property
    def labels(self) -> tuple[Path, ...]:
        """All label files."""
        return self.label_files or (() if self.label is None else (self.label,))


@dataclass(frozen=True)
class SiteDatalist:
    """A site's items by part, and what its labels mean. ``sha256`` is that of the file ``datalist.json``.

    ``channel_names`` are in the order of the site's files, ``sorted_channel_names`` in that of the images as read.
    """

    name: str
    root: Path
    labels: dict[int, str]
    nested: bool
    parts: dict[str, tuple[Item, ...]]
    sha256: str
    label_map: dict[int, int] = field(default_factory=dict)
    channels: int | None = None
    channel_names: tuple[str, ...] = ()
    mask: MaskRule = field(default_factory=MaskRule)
    window: tuple[float, float] | None = None
    made_up: bool = False

    @property
    def ignore(self) -> int | None:
        """What an ignored pixel has after reading (255); None where the site ignores none."""
        return None if self.mask.ignore is None else IGNORED

    @property
    def labelling(self) -> Labelling:
        """How label files are read."""
        return Labelling(self.mask, self.num_classes, tuple(sorted(self.label_map.items())))

    @property
    def num_classes(self) -> int:
        """Number of foreground classes."""
        return len(self.labels) - 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the foreground classes, in the order of the mask channels."""
        return tuple(self.labels[value] for value in range(1, len(self.labels)))

    @property
    def sorted_channel_names(self) -> tuple[str, ...]:
        """Names of the image channels, in the order in which every site's channels are read."""
        return sorted_names(self.channel_names)

    def document(self, item: Item) -> dict[str, Any]:
        """Return the item as the dict that ``LoadSiteImaged`` takes."""
        files = [str(path) for path in item.channel_files]
        result: dict[str, Any] = {"image": files or str(item.image)}
        if item.label is not None:
            labels = [str(path) for path in item.label_files]
            result["label"] = labels or str(item.label)
            result["mask"] = {**self.mask.to_dict(), "classes": self.num_classes}
            if self.label_map:
                result["label_map"] = self.label_map
        if item.slice_index is not None:
            result["slice_index"] = item.slice_index
        if self.window is not None:
            result["window"] = list(self.window)
        if self.channel_names and not files:
            result["channel_order"] = channel_order(self.channel_names)
        return result


def load_datalist(folder: str | Path) -> SiteDatalist:
    """Read a site's datalist, with volumes expanded into one item per slice.

    Raises:
        DataError: on the first problem of :func:`parse_datalist`, or when the site has no item at all.
    """
    datalist, problems = parse_datalist(Path(folder))
    if problems:
        raise problems[0]
    assert datalist is not None
    return datalist


def parse_datalist(folder: Path) -> tuple[SiteDatalist | None, list[DataError]]:
    """Read a site's datalist and return it with every problem found; None when it cannot be understood at all."""
    path = folder / FILE_NAME
    try:
        content = read_bytes(path)
        document = parse_json(_text(content), pairs=_once)
    except FileNotFoundError:
        return None, [DataError(path, "the file is missing", "Make one with `dsfedmed build-datalist`.")]
    except (OSError, ValueError) as error:
        return None, [DataError(path, f"it is not readable JSON ({worded(error)})", "Correct or rebuild it.")]
    try:
        labels, label_map, slices = _settings(path, document)
        channels, names = _channels(path, document)
        bare = SiteDatalist(
            name=one_line(str(document.get("name") or folder.name)),
            root=folder,
            labels=labels,
            nested=document.get("nested", True),
            parts={},
            sha256=hashlib.sha256(content).hexdigest(),
            label_map=label_map,
            channels=channels,
            channel_names=names,
            mask=parse_rule(path, document.get("mask"), len(labels) - 1),
            window=_window(path, document.get("window")),
            made_up=document.get("made_up", False),
        )
    except DataError as error:
        return None, [error]
    problems: list[DataError] = []
    parts = {part: _part(path, bare, (part, document.get(part)), slices, problems) for part in PARTS}
    problems += _split_cases(path, parts)
    if not any(parts.values()) and not problems:
        problems.append(DataError(folder, "the site is empty", "List its images in datalist.json."))
    return replace(bare, parts=parts), problems


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose keys stand once each: of two lists "training" JSON would silently keep the last."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands twice in one object")
    return dict(pairs)


def _text(content: bytes) -> str:
    """Decode JSON that may begin with a byte order mark, as editors on Windows write it."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _window(path: Path, entry: Any) -> tuple[float, float] | None:
    if entry is None:
        return None
    numbers = isinstance(entry, list) and len(entry) == 2 and all(type(value) in (int, float) for value in entry)
    if not numbers or not (all(map(math.isfinite, entry)) and entry[0] < entry[1]):
        raise DataError(path, f'"window" is {entry!r}', "Write [low, high], such as [-160, 240] for soft tissue in CT.")
    return float(entry[0]), float(entry[1])


def _settings(path: Path, document: Any) -> tuple[dict[int, str], dict[int, int], str]:
    if not isinstance(document, dict):
        raise DataError(path, "it is not a JSON object", "See the form in the README.")
    try:
        labels = {int(value): str(name) for value, name in document["labels"].items()}
        default_map = {"255": 1} if len(labels) == 2 else {}
        label_map = {int(value): int(target) for value, target in document.get("label_map", default_map).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(path, 'no usable "labels"', 'Write {"0": "background", "1": "lesion"}.') from error
    if sorted(labels) != list(range(len(labels))) or not 2 <= len(labels) <= 256:
        raise DataError(
            path, f"label values are {shortened(sorted(labels))}", "They run 0, 1, 2... with 0 the background."
        )
    if len(labels) < len(document["labels"]):
        raise DataError(path, '"labels" has one value twice', 'Write each once: {"0": "background", "1": "lesion"}.')
    unusable = [name for name in labels.values() if not (name.isprintable() and 0 < len(name) <= LONGEST_LABEL)]
    if unusable:
        reason = f'"labels" has the name {shortened(unusable[0])}'
        raise DataError(path, reason, f"Give each 1 to {LONGEST_LABEL} printable letters.")
    if set(label_map.values()) - set(labels):
        raise DataError(path, '"label_map" leads to undeclared labels', 'Map to values that are in "labels".')
    if not isinstance(document.get("nested", True), bool):
        raise DataError(path, f'"nested" is {document["nested"]!r}', "Write true or false.")
    if not isinstance(document.get("made_up", False), bool):
        raise DataError(path, f'"made_up" is {document["made_up"]!r}', "Write true or false.")
    slices = document.get("slices", "labelled")
    if slices not in SLICES:
        raise DataError(path, f'"slices" is {slices!r}', 'Write "labelled" or "all".')
    return dict(sorted(labels.items())), label_map, slices


def _channels(path: Path, document: dict[str, Any]) -> tuple[int | None, tuple[str, ...]]:
    """Return the number of image channels, None where it is not said, and their names, where they are."""
    channels, names = document.get("channels"), document.get("channel_names", [])
    if channels is not None and not usable_channels(channels):
        fix = "Write 1 (grey), 3 (RGB) or another number up to 16, or leave it out."
        raise DataError(path, f'"channels" is {channels!r}', fix)
    fix = 'Write one distinct name a channel, such as ["T1", "T2"], or leave it out.'
    if not isinstance(names, list):
        raise DataError(path, f'"channel_names" is {names!r}', fix)
    channels = len(names) if names and channels is None else channels
    problem = names_problem(names, channels or 0)
    if problem:
        raise DataError(path, f'"channel_names": {problem}', fix)
    return channels, tuple(names)


def _part(
    path: Path, site: SiteDatalist, named: tuple[str, Any], slices: str, problems: list[DataError]
) -> tuple[Item, ...]:
    part, entries = named
    if not isinstance(entries, (list, type(None))):
        problems.append(DataError(path, f'"{part}" is not a list', 'Write [{"image": ..., "label": ...}, ...].'))
        return ()
    items: list[Item] = []
    for number, entry in enumerate(entries or []):
        try:
            item = _item(path, site, f"{part} item {number}", entry)
            items += _slices(item, site.labelling, only_labelled=slices == "labelled" and part != "test")
        except DataError as error:
            problems.append(error)
    return tuple(items)


def _item(path: Path, site: SiteDatalist, where: str, entry: Any) -> Item:
    if isinstance(entry, str):  # Decathlon lists test images as bare paths
        entry = {"image": entry}
    if not isinstance(entry, dict):
        raise DataError(path, f"{where} is not an object", 'Write {"image": path, "label": path}.')
    names = _image_names(path, site, where, entry.get("image"))
    files = tuple(_inside(path, name) for name in names)
    label = entry.get("label")
    several = label if isinstance(label, list) else [] if label is None else [label]
    labels = tuple(_inside(path, str(name)) for name in several)
    if not all(isinstance(name, str) for name in several) or (isinstance(label, list) and not label):
        raise DataError(path, f'{where} has no usable "label"', "Write a path, or a list of paths.")
    return Item(
        image=files[0],
        label=labels[0] if labels else None,
        case=_case(path, where, entry, names[0]),
        channel_files=files if len(files) > 1 else (),
        label_files=labels if len(labels) > 1 else (),
    )


def _case(path: Path, where: str, entry: dict[str, Any], image: str) -> str:
    """Return the patient, without blanks at the ends; an item that names none is a patient of its own."""
    case = entry.get("case")
    if case is None or case == "":
        others = [key for key in entry if re.sub("[^a-z]", "", str(key).lower()) in _LIKE_CASE]
        if others:
            reason = f"{where} names its patient as {others[0]!r}, which is not read"
            raise DataError(path, reason, 'Call it "case": otherwise patients would be in two parts.')
        return composed(image)
    if isinstance(case, bool) or not isinstance(case, (str, int)):
        raise DataError(path, f"{where} has the case {case!r}", "Write the patient as text or as a whole number.")
    return composed(str(case).strip())


def _image_names(path: Path, site: SiteDatalist, where: str, entry: Any) -> list[str]:
    """Return the paths of an image's files, in the order of the channels where there are several."""
    names = site.channel_names
    if isinstance(entry, dict):
        missing = [name for name in names if name not in entry]
        foreign = sorted(set(map(str, entry)) - set(names))
        if missing or foreign:
            said = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(foreign)}, which is not declared"
            raise DataError(path, f"{where} {said}", 'Name the same "channel_names" in every item.')
        entry = [entry[name] for name in names]
    if isinstance(entry, list) and len(entry) > 1:
        wanted = site.channels or 0
        if len(entry) != wanted:
            reason = f"{where} has {len(entry)} image files and {wanted or 'no'} channels are declared"
            raise DataError(path, reason, 'Write "channels" or "channel_names", and one file for each.')
        entry = [entry[index] for index in channel_order(names)] if names else entry
    found = entry if isinstance(entry, list) else [entry]
    if not found or not all(isinstance(name, str) for name in found):
        raise DataError(path, f'{where} has no "image"', 'Write {"image": path, "label": path}.')
    return list(found)


def _inside(path: Path, name: str) -> Path:
    """Resolve a relative path of the datalist as the disc has it; it may not lead out of the folder."""
    if _NO_NAME.search(name) or max(len(part.encode()) for part in re.split(r"[/\\]", name)) > LONGEST_NAME:
        reason = f"{name[:60]!r} is not a name of a file"
        raise DataError(path, reason, f"Use names without control characters, of at most {LONGEST_NAME} bytes.")
    if len(name.encode()) + len(os.fsencode(path.parent)) > LONGEST_PATH:
        reason = f"the path {name[:60]!r}... has {len(name.encode())} bytes"
        raise DataError(path, reason, f"Use paths of at most {LONGEST_PATH} bytes, those of the folders above counted.")
    if "\\" in name and not (path.parent / name).exists():
        name = name.replace("\\", "/")  # written on Windows
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or ".." in Path(name).parts
    if outside or not name:
        raise DataError(path, f"{name!r} leads out of the site's folder", "Use paths relative to the folder.")
    return found_as(path.parent / name)


def _slices(item: Item, how: Labelling, only_labelled: bool) -> list[Item]:
    """Expand a volume, stack or clip into its slices; a flat image, or one that check_site will report, stays."""
    if item.image.suffix.lower() in _NEVER_STACKS or not item.image.exists():
        return [item]
    count = probe(item.image).slices
    if count is None:
        return [item]
    wanted: Sequence[int] = range(count)
    if only_labelled and item.labels and all(path.exists() for path in item.labels):
        volume = read_label(item.labels, how, item.image)
        if volume.volume and volume.slices == count:
            drawn = (volume.array > 0) & (volume.array != IGNORED)
            wanted = [int(z) for z in np.flatnonzero(drawn.any(axis=(0, 1, 3)))]
    return [replace(item, slice_index=index) for index in wanted]


def _split_cases(path: Path, parts: dict[str, tuple[Item, ...]]) -> list[DataError]:
    """Return one problem per patient that stands in more than one part."""
    found: dict[str, list[str]] = {}
    for part, items in parts.items():
        for case in {item.case for item in items}:
            found.setdefault(case, []).append(part)
    return [
        DataError(path, f"case {case!r} is in {' and '.join(where)}", "Keep all images of a patient in one part.")
        for case, where in sorted(found.items())
        if len(where) > 1
    ]
