# SPDX-License-Identifier: Apache-2.0
"""A site's ``datalist.json`` (MONAI/Decathlon form) as checked, typed items.

Keys: ``name``, ``description``, ``modality``, ``labels`` ({"0": "background", "1": "lesion"}), and the parts
``training``, ``validation`` and ``test``, each a list of ``{"image", "label", "case"}`` with paths relative to the
folder. ``case`` names the patient (default: every image is its own case); ``label`` may be left out where none exists.

Optional keys of this project:

- ``nested`` (default true): a higher label lies inside the lower ones (cup in disc).
- ``label_map``: values to rewrite while reading, such as {"128": 1, "255": 2}. A site with a single foreground class
  reads 255 as 1 unless it says otherwise, since binary masks are so often stored as 0/255.
- ``channels``: 1 to 16, what the site's images mean (grey ultrasound is often stored as RGB).
- ``channel_names``: what the channels of the site's files are, in the files' order, such as ["T1", "T2", "FLAIR"]; as
  many as ``channels``. Images are read in the order of the sorted names (`dsfedmed.data.channels`).
- ``slices`` ("labelled" by default, or "all"): which slices of NIfTI volumes to use. "labelled" keeps the slices with
  foreground for training and validation; the test part always takes every slice, since choosing its slices by their
  labels would make the test easier than the clinic.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from dsfedmed.data.channels import channel_order, names_problem, sorted_names, usable_channels
from dsfedmed.data.formats import SUFFIXES, probe, read_volume, suffix_of
from dsfedmed.errors import DataError

FILE_NAME = "datalist.json"
PARTS = ("training", "validation", "test")
SLICES = ("labelled", "all")


@dataclass(frozen=True)
class Item:
    """One image (or one slice of a volume), its label if it has one, and the patient it belongs to."""

    image: Path
    label: Path | None
    case: str
    slice_index: int | None = None


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
        result: dict[str, Any] = {"image": str(item.image)}
        if item.label is not None:
            result["label"] = str(item.label)
            if self.label_map:
                result["label_map"] = self.label_map
        if item.slice_index is not None:
            result["slice_index"] = item.slice_index
        if self.channel_names:
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
        content = path.read_bytes()
        document = json.loads(content)
    except FileNotFoundError:
        return None, [DataError(path, "the file is missing", "Make one with `dsfedmed build-datalist`.")]
    except (OSError, ValueError, RecursionError) as error:
        return None, [DataError(path, f"it is not readable JSON ({error})", "Correct or rebuild it.")]
    try:
        labels, label_map, slices = _settings(path, document)
        channels, channel_names = _channels(path, document)
    except DataError as error:
        return None, [error]
    problems: list[DataError] = []
    parts = {part: _part(path, part, document.get(part), slices, problems) for part in PARTS}
    problems += _split_cases(path, parts)
    if not any(parts.values()) and not problems:
        problems.append(DataError(folder, "the site is empty", "List its images in datalist.json."))
    datalist = SiteDatalist(
        name=str(document.get("name") or folder.name),
        root=folder,
        labels=labels,
        nested=document.get("nested", True),
        parts=parts,
        sha256=hashlib.sha256(content).hexdigest(),
        label_map=label_map,
        channels=channels,
        channel_names=channel_names,
    )
    return datalist, problems


def _settings(path: Path, document: Any) -> tuple[dict[int, str], dict[int, int], str]:
    if not isinstance(document, dict):
        raise DataError(path, "it is no JSON object", "See the form in the README.")
    try:
        labels = {int(value): str(name) for value, name in document["labels"].items()}
        default_map = {"255": 1} if len(labels) == 2 else {}
        label_map = {int(value): int(target) for value, target in document.get("label_map", default_map).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(path, 'no usable "labels"', 'Write {"0": "background", "1": "lesion"}.') from error
    if sorted(labels) != list(range(len(labels))) or not 2 <= len(labels) <= 256:
        raise DataError(path, f"label values are {sorted(labels)}", "They run 0, 1, 2... with 0 the background.")
    if set(label_map.values()) - set(labels):
        raise DataError(path, '"label_map" leads to undeclared labels', 'Map to values that stand in "labels".')
    if not isinstance(document.get("nested", True), bool):
        raise DataError(path, f'"nested" is {document["nested"]!r}', "Write true or false.")
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
    if names and channels is None:
        raise DataError(path, '"channel_names" without "channels"', f'Write "channels": {len(names)} beside it.')
    problem = names_problem(names, channels or 0)
    if problem:
        raise DataError(path, f'"channel_names": {problem}', fix)
    return channels, tuple(names)


def _part(path: Path, part: str, entries: Any, slices: str, problems: list[DataError]) -> tuple[Item, ...]:
    if not isinstance(entries, (list, type(None))):
        problems.append(DataError(path, f'"{part}" is no list', 'Write [{"image": ..., "label": ...}, ...].'))
        return ()
    items: list[Item] = []
    for number, entry in enumerate(entries or []):
        try:
            item = _item(path, part, number, entry)
            items += _slices(item, only_labelled=slices == "labelled" and part != "test")
        except DataError as error:
            problems.append(error)
    return tuple(items)


def _item(path: Path, part: str, number: int, entry: Any) -> Item:
    if isinstance(entry, str):  # Decathlon lists test images as bare paths
        entry = {"image": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise DataError(path, f'{part} item {number} has no "image"', 'Write {"image": path, "label": path}.')
    label = entry.get("label")
    image = _inside(path, entry["image"])
    case = entry.get("case", entry["image"])
    return Item(image, None if label is None else _inside(path, str(label)), str(case))


def _inside(path: Path, name: str) -> Path:
    """Resolve a relative path of the datalist; it may not lead out of the folder."""
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or ".." in Path(name).parts
    if outside or not name:
        raise DataError(path, f"{name!r} leads out of the site's folder", "Use paths relative to the folder.")
    return path.parent / name


def _slices(item: Item, only_labelled: bool) -> list[Item]:
    """Expand a volume into its slices (last axis); a flat image, or one that check_site will report, stays."""
    if suffix_of(item.image) not in (".nii", ".nii.gz") or not item.image.is_file():
        return [item]
    count = probe(item.image).slices
    if count is None:
        return [item]
    wanted = range(count)
    if only_labelled and item.label is not None and item.label.is_file() and suffix_of(item.label) in SUFFIXES:
        volume = read_volume(item.label, label=True)
        if volume.volume and volume.array.shape[2] == count:
            wanted = [int(z) for z in np.flatnonzero(volume.array.any(axis=(0, 1)))]  # type: ignore[assignment]
    return [Item(item.image, item.label, item.case, index) for index in wanted]


def _split_cases(path: Path, parts: dict[str, tuple[Item, ...]]) -> list[DataError]:
    """Return one problem per patient that stands in more than one part."""
    found: dict[str, list[str]] = {}
    for part, items in parts.items():
        for case in {item.case for item in items}:
            found.setdefault(case, []).append(part)
    return [
        DataError(path, f"case {case!r} stands in {' and '.join(where)}", "Keep all images of a patient in one part.")
        for case, where in sorted(found.items())
        if len(where) > 1
    ]
