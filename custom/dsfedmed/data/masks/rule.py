# SPDX-License-Identifier: Apache-2.0
"""The ``"mask"`` entry of a datalist: how label files are to be understood where their values do not say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from dsfedmed.errors import DataError

IGNORED = 255
"""What a pixel that is to be left out of loss and metrics becomes after reading; no class can have this value then."""
KINDS = ("values", "threshold", "colours", "one_hot", "instances")
_KEYS = frozenset({"kind", "above", "colours", "nearest", "background", "ignore", "geometry", "files"})
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
Kind = Literal["values", "threshold", "colours", "one_hot", "instances"]


@dataclass(frozen=True)
class MaskRule:
    """How label files are understood.

    kind: ``values`` (the numbers are label values, after ``label_map``), ``threshold`` (brighter than ``above`` is the
        one class: soft edges, JPEG, probabilities), ``colours`` (each colour is a label value), ``one_hot`` (one plane
        a class), ``instances`` (every number above 0 is one object of the one class).
    above: of ``threshold``.
    colours: of ``colours``: (red, green, blue) and the label value.
    nearest: a colour that is not listed counts as the nearest listed one (JPEG); else it is an error.
    background: whether the first plane of ``one_hot`` is the background.
    ignore: stored value (or, of ``colours``, the label value) that is left out of loss and metrics.
    geometry: ``affine`` brings a label onto its image by their affines; ``grid`` takes it voxel by voxel.
    files: what several label files of one image are: ``union`` of one class, or one class each (``classes``).
    """

    kind: Kind = "values"
    above: float = 127.0
    colours: tuple[tuple[tuple[int, int, int], int], ...] = ()
    nearest: bool = False
    background: bool = True
    ignore: int | None = None
    geometry: Literal["affine", "grid"] = "affine"
    files: Literal["union", "classes"] = "union"

    def to_dict(self) -> dict[str, Any]:
        """Return the form in a datalist; what has its default is left out."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.kind == "threshold":
            found["above"] = self.above
        if self.kind == "colours":
            found["colours"] = {"#{:02x}{:02x}{:02x}".format(*colour): value for colour, value in self.colours}
            found.update({"nearest": True} if self.nearest else {})
        if not self.background:
            found["background"] = False
        if self.ignore is not None:
            found["ignore"] = self.ignore
        if self.geometry != "affine":
            found["geometry"] = self.geometry
        if self.files != "union":
            found["files"] = self.files
        return found


def parse_rule(path: Path, entry: Any, num_classes: int) -> MaskRule:
    """Read a ``"mask"`` entry.

    Args:
        path: the datalist, for errors.
        entry: None, or the entry.
        num_classes: K, foreground classes of the site.

    Raises:
        DataError: naming the datalist and what in the entry is not understood.
    """
    if entry is None:
        return MaskRule()
    if not isinstance(entry, Mapping):
        raise DataError(path, '"mask" is not an object', 'Write {"kind": "threshold", "above": 127}, for example.')
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise DataError(path, f'"mask" has an unknown key {unknown[0]!r}', f"Known: {', '.join(sorted(_KEYS))}.")
    kind = entry.get("kind", "values")
    if kind not in KINDS:
        raise DataError(path, f'"mask" has the kind {kind!r}', f"Known: {', '.join(KINDS)}.")
    if kind in ("threshold", "instances") and num_classes != 1:
        reason = f'"mask" of kind {kind!r} knows one class, and {num_classes} are declared'
        raise DataError(path, reason, 'Declare one foreground class in "labels".')
    rule = MaskRule(
        kind=cast(Kind, kind),
        above=_number(path, entry.get("above", 127.0)),
        colours=_colours(path, entry.get("colours", {}), num_classes, entry.get("ignore")),
        nearest=_flag(path, "nearest", entry.get("nearest", False)),
        background=_flag(path, "background", entry.get("background", True)),
        ignore=_ignore(path, entry.get("ignore"), num_classes),
        geometry=cast(Any, _choice(path, "geometry", entry.get("geometry", "affine"), ("affine", "grid"))),
        files=cast(Any, _choice(path, "files", entry.get("files", "union"), ("union", "classes"))),
    )
    if kind == "colours" and not rule.colours:
        raise DataError(path, '"mask" lists no colours', 'Write "colours": {"#000000": 0, "#ff0000": 1}.')
    if rule.files == "union" and num_classes != 1 and "files" in entry:
        raise DataError(path, "a union of files knows one class", 'Write "files": "classes".')
    return rule


def _number(path: Path, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise DataError(path, f'"above" is {value!r}', "Write a number, such as 127 for 0..255 or 0.5 for 0..1.")
    return float(value)


def _flag(path: Path, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(path, f'"{name}" is {value!r}', "Write true or false.")
    return value


def _choice(path: Path, name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise DataError(path, f'"{name}" is {value!r}', f"Write {' or '.join(known)}.")
    return str(value)


def _ignore(path: Path, value: Any, num_classes: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value == 0:
        raise DataError(path, f'"ignore" is {value!r}', "Write the whole number that is left out; not 0.")
    if 0 < value <= num_classes:
        raise DataError(path, f'"ignore" is {value}, which is a label', "Write a value that no class has.")
    if num_classes >= IGNORED:
        raise DataError(path, f"{num_classes} classes leave no value to ignore", "Declare at most 254 classes.")
    return value


def _colours(path: Path, entry: Any, num_classes: int, ignore: Any) -> tuple[tuple[tuple[int, int, int], int], ...]:
    if not isinstance(entry, Mapping):
        raise DataError(path, '"colours" is not an object', 'Write {"#000000": 0, "#ff0000": 1}.')
    found = []
    for text, value in entry.items():
        good = isinstance(text, str) and _COLOUR.fullmatch(text) and isinstance(value, int)
        if not good or not (0 <= value <= num_classes or value == ignore):
            reason = f'"colours" has {text!r}: {value!r}'
            raise DataError(path, reason, f'Write "#rrggbb" and a label value from 0 to {num_classes}.')
        found.append(((int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)), int(value)))
    return tuple(found)
