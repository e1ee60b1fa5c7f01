# SPDX-License-Identifier: Apache-2.0
"""Make a ``datalist.json`` from folders of image and label files, split by patient."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsfedmed.data.datalist import FILE_NAME, PARTS
from dsfedmed.data.formats import SUFFIXES, read_raw, stem_of, suffix_of
from dsfedmed.data.reading import observed_values
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import write_json

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class BuildSettings:
    """What both layouts share.

    case_regex: finds the patient in an image's path within its folder (group 1, or the whole match); None makes every
    file its own case. label_names: foreground classes from value 1 upwards; empty names them after their values.
    label_map: values to rewrite; None maps 255 to 1 when the labels hold 0 and 255 only. nested: see ``datalist``.
    seed: of the split. force: replace a datalist that is there.
    """

    case_regex: str | None = None
    label_names: tuple[str, ...] = ()
    label_map: dict[int, int] | None = None
    nested: bool = True
    seed: int = 0
    force: bool = False


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
    if min(split) < 0 or abs(sum(split) - 1.0) > 1e-6:
        raise ConfigError("split", f"the shares {split} do not sum to 1", "Write 0.6/0.15/0.25, for example.")
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
        raise ConfigError("validation share", f"{validation_share} is no share", "Use 0 up to (not with) 1.")
    written = []
    for client in clients:
        training = find_pairs(client / "data_npy", client / "label_npy")
        has_test = (client / "val_data_npy").is_dir()
        test = find_pairs(client / "val_data_npy", client / "val_label_npy") if has_test else []
        cases = {pair: case_of(pair[0], pair[0].parent, settings.case_regex) for pair in [*training, *test]}
        shares = (1.0 - validation_share, validation_share, 0.0)
        groups = split_cases(sorted({cases[pair] for pair in training}), shares, settings.seed)
        parts = {part: [pair for pair in training if cases[pair] in groups[part]] for part in PARTS}
        written.append(_write(client, client.name, {**parts, "test": test}, cases, settings))
    return written


def find_pairs(images: Path, labels: Path, label_suffix: str = "") -> list[Pair]:
    """Return (image, label) by name, in order of names.

    Raises:
        DataError: naming the first image without label (and how many more), or an image whose name stands twice.
    """
    found = {folder: _files(folder) for folder in (images, labels)}
    missing = [name for name in found[images] if name + label_suffix not in found[labels]]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(found[images][missing[0]], f"no label of its name in {labels}{more}", "Add it or move it away.")
    if not found[images]:
        raise DataError(images, "it holds no images", f"Known formats: {', '.join(SUFFIXES)}.")
    return [(path, found[labels][name + label_suffix]) for name, path in found[images].items()]


def _files(folder: Path) -> dict[str, Path]:
    """Return the image files below a folder by their relative name without suffix."""
    if not folder.is_dir():
        raise DataError(folder, "the folder is missing", "Name the right folder.")
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and suffix_of(path) in SUFFIXES and not path.name.startswith("."):
            name = (path.relative_to(folder).parent / stem_of(path)).as_posix()
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
    values, label_map = _observed([pair for part in parts.values() for pair in part], settings)
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
    if label_map:
        document["label_map"] = {str(value): target for value, target in label_map.items()}
    for part in PARTS:
        document[part] = [
            {
                "image": pair[0].relative_to(folder).as_posix(),
                "label": pair[1].relative_to(folder).as_posix(),
                "case": cases[pair],
            }
            for pair in parts[part]
        ]
    write_json(path, document)
    return path


def _observed(pairs: list[Pair], settings: BuildSettings) -> tuple[set[int], dict[int, int]]:
    """Return the label values after mapping, and the mapping; values that leave a gap are refused, not guessed."""
    raw: set[int] = set()
    for _, label in pairs:
        raw |= observed_values(read_raw(label, label=True), None)
    label_map = settings.label_map
    if label_map is None:
        label_map = {255: 1} if raw <= {0, 255} else {}
    values = {label_map.get(value, value) for value in raw}
    if max(values, default=0) > max(len(values - {0}), len(settings.label_names)):
        where = pairs[0][1].parent
        raise DataError(where, f"label values are {sorted(raw)}", "Say what they mean: --label-map 128=1,255=2.")
    return values, label_map
