# SPDX-License-Identifier: Apache-2.0
"""Make a ``datalist.json`` from folders of image and label files, split by patient."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsfedmed.data.datalist import FILE_NAME, PARTS
from dsfedmed.data.files.kinds import SUFFIXES, Kind, kind_of, stem_of
from dsfedmed.data.files.listing import composed, list_images
from dsfedmed.data.masks.propose import Proposal, propose
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.data.review.pair_names import labels_by_another_name, require_folders
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import write_json

Pair = tuple[Path, tuple[Path, ...]]
"""An image and its masks: one, or several of one image."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildSettings:
    """What both layouts share.

    case_regex: finds the patient in an image's path within its folder (group 1, or the whole match); None makes every
    file its own case. label_names: foreground classes from value 1 upwards; empty names them after their values.
    label_map: values to rewrite; None finds it where masks hold two values. mask: what label files mean; None finds
    it where there is one meaning. channels: what the images mean; None for grey and RGB as they are. nested: see
    ``datalist``. seed: of the split. force: replace a datalist that is there.
    """

    case_regex: str | None = None
    label_names: tuple[str, ...] = ()
    label_map: dict[int, int] | None = None
    nested: bool = True
    seed: int = 0
    force: bool = False
    mask: MaskRule | None = None
    channels: int | None = None


def build_paired(
    folder: str | Path,
    settings: BuildSettings,
    images: str = "images",
    labels: str = "labels",
    split: tuple[float, float, float] = (0.6, 0.15, 0.25),
    label_suffix: str = "",
    name: str | None = None,
) -> Path:
    """Write the datalist of a site whose labels lie in a folder of their own under the images' names.

    Args:
        folder: the site.
        settings: case, label and split settings.
        images: folder of the images, within ``folder``; searched with its sub-folders.
        labels: folder of the labels, within ``folder``; suffixes may differ from the images'.
        split: shares of cases in training, validation and test; they sum to 1.
        label_suffix: what label names have behind the image's name, such as "_mask".
        name: the site's name; the folder's when None.

    Returns:
        The path of the datalist.

    Raises:
        ConfigError: when the split or the expression is not usable.
        DataError: naming the file, when pairs or cases are incomplete, a label is not understood, or the datalist is
            there already.
    """
    folder = Path(folder)
    if not (min(split) >= 0 and abs(sum(split) - 1.0) <= 1e-6):  # written so that NaN is refused as well
        raise ConfigError("split", f"the shares {split} do not sum to 1", "Write 0.6/0.15/0.25, for example.")
    require_folders(folder, images, labels)
    pairs = find_pairs(folder / images, folder / labels, label_suffix)
    cases = {pair: case_of(pair[0], folder / images, settings.case_regex) for pair in pairs}
    groups = split_cases(sorted(set(cases.values())), split, settings.seed)
    parts = {part: [pair for pair in pairs if cases[pair] in groups[part]] for part in PARTS}
    return _write(folder, name or folder.name, parts, cases, settings)


def build_npy_layout(root: str | Path, settings: BuildSettings, validation_share: float = 0.15) -> list[Path]:
    """Write a datalist into every client folder of ``<root>/<client>/{data_npy,label_npy,val_data_npy,val_label_npy}``.

    ``val_data_npy`` becomes the test part, since the release reports on it; validation is cut by case from
    ``data_npy``. (The release selects its checkpoint on ``val_data_npy`` as well; here selection never sees it.)

    Raises:
        ConfigError, DataError: as :func:`build_paired`, and when no client folder is found.
    """
    clients = sorted(path.parent for path in Path(root).glob("*/data_npy"))
    if not clients:
        raise DataError(root, "no <client>/data_npy is here", "Name the folder that holds the client folders.")
    if not 0.0 <= validation_share < 1.0:
        raise ConfigError("validation share", f"{validation_share} is not a share", "Use 0 up to (not with) 1.")
    written = []
    for client in clients:
        training = find_pairs(client / "data_npy", client / "label_npy", suffix_option="")
        has_test = (client / "val_data_npy").is_dir()
        test = find_pairs(client / "val_data_npy", client / "val_label_npy", suffix_option="") if has_test else []
        cases = {pair: case_of(pair[0], pair[0].parent, settings.case_regex) for pair in [*training, *test]}
        shares = (1.0 - validation_share, validation_share, 0.0)
        groups = split_cases(sorted({cases[pair] for pair in training}), shares, settings.seed)
        parts = {part: [pair for pair in training if cases[pair] in groups[part]] for part in PARTS}
        written.append(_write(client, client.name, {**parts, "test": test}, cases, settings))
    return written


def find_pairs(
    images: Path, labels: Path, label_suffix: str = "", quiet: bool = False, suffix_option: str = "--label-suffix"
) -> list[Pair]:
    """Return (image, masks) by name, in order of names.

    A mask has the image's name with ``label_suffix``; further ones of the same image have a number behind that
    (``a_mask.png``, ``a_mask_1.png``). A folder of DICOM files that has a mask of its own name is one image (a series).
    Both folders may be one: what is a mask is then no image. What is left out is logged, unless ``quiet``.
    ``suffix_option`` is the option that the error names where all masks have one word behind the images' names.

    Raises:
        DataError: naming the first image without label (and how many more), or an image whose name stands twice.
    """
    masks = _files(labels, quiet=quiet)
    named = frozenset(masks) if labels != images else frozenset()
    found = _files(images, named, label_suffix, quiet or labels == images)
    if labels == images and label_suffix:
        numbered = re.compile(re.escape(label_suffix) + r"(?:[_-]?[0-9]+)?$")
        found = {name: path for name, path in found.items() if not numbered.search(name)}
    missing = [name for name in found if name + label_suffix not in masks]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        fix = labels_by_another_name(found, masks, suffix_option) or "Add it or move it away."
        raise DataError(found[missing[0]], f"no label of its name in {labels}{more}", fix)
    if not found:
        raise DataError(images, "it holds no images", f"Known formats: {', '.join(SUFFIXES)}.")
    pairs = [(path, _masks_of(name + label_suffix, masks, found)) for name, path in found.items()]
    spare = set(masks.values()) - {mask for _, several in pairs for mask in several} - set(found.values())
    if spare and not quiet:
        LOG.warning("%s: %d files have no image and are left out (%s)", labels, len(spare), min(spare).name)
    return pairs


def _masks_of(name: str, masks: dict[str, Path], images: dict[str, Path]) -> tuple[Path, ...]:
    """Return the mask of a name, and those with a number behind it that are no image's own."""
    more = re.compile(re.escape(name) + r"[_-][0-9]+")
    numbered = [path for other, path in masks.items() if more.fullmatch(other) and other not in images]
    return (masks[name], *numbered)


def _files(
    folder: Path, series_named: frozenset[str] = frozenset(), label_suffix: str = "", quiet: bool = False
) -> dict[str, Path]:
    """Return the image files below a folder by their relative name without suffix, accents in one form.

    A sub-folder of DICOM files counts as one image where ``series_named`` has its name with ``label_suffix``.
    """
    if not folder.is_dir():
        raise DataError(folder, "the folder is missing", "Name the right folder.")
    listing = list_images(folder, deep=True)
    if listing.left_out and not quiet:
        first = ", ".join(path.name for path in listing.left_out[:3])
        LOG.warning("%s: %d files are no images and are left out (%s)", folder, len(listing.left_out), first)
    files: dict[str, Path] = {}
    for path in listing.images:
        within = composed(path.parent.relative_to(folder).as_posix())
        if within + label_suffix in series_named and kind_of(path) is Kind.DICOM:
            files[within] = path.parent
            continue
        name = composed((path.relative_to(folder).parent / stem_of(path)).as_posix())
        if name in files:
            raise DataError(path, f"{files[name].name} has the same name", "Keep one of them.")
        files[name] = path
    return files


def case_of(image: Path, folder: Path, case_regex: str | None) -> str:
    """Return the patient an image belongs to.

    Raises:
        ConfigError: when the expression is not valid.
        DataError: naming the file, when the expression does not match it.
    """
    relative = image.relative_to(folder)
    if case_regex is None:
        return (relative.parent / stem_of(image)).as_posix()
    try:
        match = re.search(case_regex, relative.as_posix())
    except re.error as error:
        raise ConfigError("case regex", f"{case_regex!r} is not valid ({error})", "Correct it.") from error
    if match is None or not (case := match.group(1) if match.re.groups else match.group(0)):
        raise DataError(image, f"no case found by {case_regex!r}", "Widen the expression; a file needs its patient.")
    return case


def split_cases(cases: list[str], shares: tuple[float, float, float], seed: int) -> dict[str, set[str]]:
    """Deal cases to the parts in the given shares, at random but by the seed.

    A part with a share above 0 gets at least one case when there are three cases or more.
    """
    order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(cases))
    wanted = [part for part, share in zip(PARTS, shares, strict=True) if share > 0]
    edges = np.rint(np.cumsum([0.0, *shares]) * len(cases)).astype(int)
    counts = dict(zip(PARTS, np.diff(edges).tolist(), strict=True))
    if len(cases) >= len(PARTS):
        for part in wanted:
            if counts[part] == 0:
                counts[max(counts, key=lambda name: counts[name])] -= 1
                counts[part] = 1
    groups, first = {}, 0
    for part in PARTS:
        groups[part] = {cases[index] for index in order[first : first + counts[part]]}
        first += counts[part]
    return groups


def _write(
    folder: Path, name: str, parts: dict[str, list[Pair]], cases: dict[Pair, str], settings: BuildSettings
) -> Path:
    path = folder / FILE_NAME
    if path.exists() and not settings.force:
        raise DataError(path, "it is there already", "Give --force to replace it.")
    labels = sorted({label for part in parts.values() for _, several in part for label in several})
    found = propose(labels, settings.label_names, settings.label_map, settings.mask)
    for said in found.said:
        LOG.warning("%s: %s", folder, said)
    rule, values, label_map = _rule(found, parts), found.values, found.label_map
    count = max(len(settings.label_names), max(values, default=0), 1)
    names = {value: f"label {value}" for value in range(1, count + 1)}
    names.update(enumerate(settings.label_names, start=1))
    if settings.label_names and max(values, default=0) > len(settings.label_names):
        reason = f"the labels hold {sorted(values)} and {len(settings.label_names)} names are given"
        raise DataError(folder, reason, "Name every class, or rewrite values with --label-map.")
    document: dict[str, Any] = {
        "name": name,
        "description": "",
        "labels": {"0": "background", **{str(value): names[value] for value in sorted(names)}},
        "nested": settings.nested,
        "numTraining": len(parts["training"]),
        "numTest": len(parts["test"]),
    }
    if settings.channels is not None:
        document["channels"] = settings.channels
    if rule != MaskRule():
        document["mask"] = rule.to_dict()
    if label_map:
        document["label_map"] = {str(value): target for value, target in label_map.items()}
    for part in PARTS:
        document[part] = [
            {
                "image": pair[0].relative_to(folder).as_posix(),
                "label": _written(folder, pair[1]),
                "case": cases[pair],
            }
            for pair in parts[part]
        ]
    write_json(path, document)
    return path


def _written(folder: Path, labels: tuple[Path, ...]) -> str | list[str]:
    names = [label.relative_to(folder).as_posix() for label in labels]
    return names[0] if len(names) == 1 else names


def _rule(found: Proposal, parts: dict[str, list[Pair]]) -> MaskRule:
    """Return the mask entry; several masks of one image are a union of one class."""
    several = sum(len(labels) > 1 for part in parts.values() for _, labels in part)
    if several:
        LOG.warning("%d images have several masks: their union is taken", several)
        if max(found.values, default=0) > 1:
            first = next(labels[0] for part in parts.values() for _, labels in part if len(labels) > 1)
            reason = "it is one of several masks of an image, and masks hold more than one class"
            raise DataError(first, reason, "Join them into one label map.")
    return found.rule
