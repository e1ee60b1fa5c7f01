# SPDX-License-Identifier: Apache-2.0
"""From a label file's content to label values: by the datalist's rule, or where nothing else can be meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsfedmed.data.files.raw import Raw
from dsfedmed.data.masks.describe import coloured, describe, ends, one_hot
from dsfedmed.data.masks.distinct import distinct, replaced
from dsfedmed.data.masks.rule import IGNORED, MaskRule
from dsfedmed.errors import DataError

WHOLE = 1e-3  # how far a number may lie from a whole one, as scaled label volumes do


def decode(
    raw: Raw,
    rule: MaskRule | None = None,
    num_classes: int | None = None,
    label_map: Mapping[Any, int] | None = None,
) -> np.ndarray:
    """Return label values, uint8 with the channel axis kept at 1: (X, Y, 1), or (X, Y, Z, 1) of a volume.

    Without a rule: equal planes are one plane; a mask drawn in its opacity, or in a palette of greys, is taken as it
    is seen; planes whose sum is the same everywhere and that are as many as labels are one-hot, background first; and
    with one class, files of 0 and one other number are masks whatever that number is. Everything else keeps its
    numbers, and `arrays.check_label_values` says which are not declared.

    Args:
        raw: a file read as label.
        rule: of the datalist.
        num_classes: K; None where it is not known.
        label_map: stored values to rewrite; before all but ``ignore``.

    Raises:
        DataError: naming the file, the kind of mask it seems to be, and what to write in the datalist.
    """
    rule = rule or MaskRule()
    if rule.kind == "colours":
        return _by_colour(raw, rule)
    if rule.kind == "one_hot":
        return _planes(raw, rule, num_classes)
    plane = _one_plane(raw, num_classes, label_map)
    if rule.kind == "threshold":
        ignored = plane == rule.ignore if rule.ignore is not None else np.zeros(plane.shape, dtype=bool)
        return np.where(ignored, IGNORED, plane > rule.above).astype(np.uint8)
    whole = _whole(raw.path, plane)
    if rule.kind == "instances":
        ignored = whole == rule.ignore if rule.ignore is not None else np.zeros(whole.shape, dtype=bool)
        return np.where(ignored, IGNORED, whole > 0).astype(np.uint8)
    return _values(raw, whole, rule, num_classes, label_map)


def foreign_value(raw: Raw, rule: MaskRule, num_classes: int | None, label_map: Mapping[Any, int]) -> int | None:
    """Return the number that :func:`decode` took for the one class though no one declared it; None where it did not.

    Files of one site that use several such numbers, or a declared one as well, contradict each other: the caller has
    to refuse them.
    """
    if rule.kind != "values" or num_classes != 1 or raw.palette is not None or raw.channels != 1:
        return None
    left = {int(value) for value in raw.values} - {rule.ignore}
    mapped = {int(source) for source in label_map}
    if 0 not in left or len(left) != 2 or left & {1} or left & mapped:
        return None
    return max(left)


def _values(
    raw: Raw, whole: np.ndarray, rule: MaskRule, num_classes: int | None, label_map: Mapping[Any, int] | None
) -> np.ndarray:
    mapping = {int(source): int(target) for source, target in (label_map or {}).items()}
    found = {int(value) for value in (raw.values if whole is raw.array else distinct(whole))}
    ignored = {rule.ignore} if rule.ignore is not None else set()
    left = found - ignored
    target = {value: mapping.get(value, value) for value in left}
    foreign = {value for value in left - {0} if num_classes == 1 and target[value] not in (0, 1)}
    _refuse_both(raw.path, mapping, left)
    if num_classes == 1 and len(foreign) == 1 and left == foreign | {0} and target[0] == 0:
        target.update(dict.fromkeys(foreign, 1))  # 0 and one other number: a mask
    impossible = sorted(value for value in target.values() if not 0 <= value <= IGNORED)
    if impossible:
        raise DataError(raw.path, f"the label spans {min(found)}..{max(found)}", hint(raw))
    if rule.ignore is not None and any(value == IGNORED for value in target.values()):
        reason = f"label value {IGNORED} is not declared, and stands for what is ignored"
        raise DataError(raw.path, reason, 'Map it with "label_map", or make it the "ignore" value.')
    target.update(dict.fromkeys(ignored, IGNORED))
    return replaced(whole, target)


def _refuse_both(path: Path, mapping: Mapping[int, int], found: set[int]) -> None:
    """Refuse 1 and 255 in one file where 255 is read as 1 unasked: 255 may mark what is to be ignored."""
    if mapping == {255: 1} and {1, 255} <= found:
        fix = 'Write "mask": {"ignore": 255} if it is none, or "label_map": {"1": 1, "255": 1} if both are label 1.'
        raise DataError(path, "the label holds 1 and 255, and 255 has two meanings", fix)


def _one_plane(raw: Raw, num_classes: int | None, label_map: Mapping[Any, int] | None) -> np.ndarray:
    """Return the plane (X, Y, [Z,] 1) that a person sees as the mask."""
    array = raw.array
    if raw.alpha is not None:
        colours = array.reshape(-1, array.shape[-1])
        drawn_black = not array[raw.alpha[..., 0] > 0].any()
        alone = drawn_black or (colours == colours[0]).all()
        array = raw.alpha if alone else np.where(raw.alpha == 0, 0, array).astype(array.dtype)
    if raw.palette is not None:
        return _from_palette(raw, num_classes, label_map)
    if array.shape[-1] > 1:
        if (array == array[..., :1]).all():
            return array[..., :1]
        if num_classes is not None and one_hot(array) and array.shape[-1] == num_classes + 1:
            return np.asarray(array.argmax(axis=-1)[..., None])
        what = "a colour picture" if array.shape[-1] == 3 else f"made of {array.shape[-1]} planes"
        raise DataError(raw.path, f"the label is {what}: {describe(raw)}", hint(raw))
    return array


def _from_palette(raw: Raw, num_classes: int | None, label_map: Mapping[Any, int] | None) -> np.ndarray:
    """Indices where index 0 is black and they are label values; else the colours decide, where they can."""
    palette, indices = np.asarray(raw.palette), raw.array
    used = [int(value) for value in distinct(indices)]
    mapping = {int(source): int(target) for source, target in (label_map or {}).items()}
    known = num_classes is None or all(0 <= mapping.get(value, value) <= num_classes for value in used)
    black_first = not palette[0].any()
    if black_first and known:
        return indices
    colours = {value: tuple(int(part) for part in palette[value]) for value in used}
    if all(len(set(colour)) == 1 for colour in colours.values()):
        return np.asarray(palette[:, 0][indices])
    bright = {colour for colour in colours.values() if any(colour)}
    if num_classes == 1 and len(bright) == 1:
        lit = np.asarray(palette.any(axis=1), dtype=np.uint8)
        return np.asarray(lit[indices])
    if black_first:
        return indices
    shown = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in list(colours.values())[:6])
    reason = f"the label's palette does not begin with black, so its indices are no label values ({shown})"
    raise DataError(raw.path, reason, hint(raw))


def _by_colour(raw: Raw, rule: MaskRule) -> np.ndarray:
    array = coloured(raw)
    if array is None or array.dtype != np.uint8:
        raise DataError(raw.path, "the label has no colours", 'Change the "mask" entry, or save it as an RGB picture.')
    code = array.astype(np.int64) @ np.array([65536, 256, 1])
    codes = np.array([colour[0] * 65536 + colour[1] * 256 + colour[2] for colour, _ in rule.colours])
    values = np.array([IGNORED if value == rule.ignore else value for _, value in rule.colours], dtype=np.uint8)
    found, inverse = np.unique(code, return_inverse=True)
    listed = np.array([[*colour] for colour, _ in rule.colours], dtype=np.int64)
    parts = np.stack([found >> 16, (found >> 8) & 255, found & 255], axis=1)
    nearest = ((parts[:, None] - listed[None]) ** 2).sum(axis=2).argmin(axis=1)
    foreign = [int(value) for value in found[~np.isin(found, codes)]]
    if foreign and not rule.nearest:
        shown = ", ".join(f"#{value:06x}" for value in foreign[:6]) + (", ..." if len(foreign) > 6 else "")
        reason = f"the label has colours that are not listed: {shown}"
        raise DataError(raw.path, reason, 'List them in "mask", or write "nearest": true (JPEG, soft edges).')
    return np.asarray(values[nearest][inverse.reshape(code.shape)][..., None])


def _planes(raw: Raw, rule: MaskRule, num_classes: int | None) -> np.ndarray:
    array, wanted = raw.array, (num_classes or raw.channels) + int(rule.background)
    if num_classes is not None and array.shape[-1] != wanted:
        reason = f"the label has {array.shape[-1]} planes, and one-hot with {num_classes} classes needs {wanted}"
        raise DataError(raw.path, reason, 'Say in "mask" whether there is a plane for the "background".')
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(raw.path, "the label holds values that are not finite", "Export it again.")
    if rule.background:
        return np.asarray(array.argmax(axis=-1)[..., None].astype(np.uint8))
    on = array > (float(array.max()) / 2 if array.size and array.max() > 0 else 0)
    order = np.arange(1, array.shape[-1] + 1)
    return np.asarray((on * order).max(axis=-1)[..., None].astype(np.uint8))


def _whole(path: Path, plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.uint8:
        return plane
    if plane.dtype == np.bool_:
        return np.where(plane, np.uint8(1), np.uint8(0))  # Pillow's bits are bytes of 255
    if plane.dtype.kind == "f":
        if not np.isfinite(plane).all() or np.abs(plane - np.rint(plane)).max(initial=0) > WHOLE:
            reason = "the label holds fractions"
            fix = (
                'Save integers and resize labels by nearest neighbour only, or write "mask": {"kind": "threshold", '
                '"above": 0.5} for probabilities.'
            )
            raise DataError(path, reason, fix)
        plane = np.rint(plane).astype(np.int64)
    if plane.size and plane.min() < 0:
        raise DataError(path, f"the label spans {plane.min()}..{plane.max()}", 'Map negative values in "label_map".')
    return plane


def hint(raw: Raw) -> str:
    """Return the two ways to say in the datalist what a label file means."""
    kind = describe(raw)
    entry = {
        "soft": '"mask": {"kind": "threshold", "above": %g}' % (sum(ends(raw.array)) / 2),
        "colour": '"mask": {"kind": "colours", "colours": {"#000000": 0, "#ff0000": 1}}',
        "one-hot": '"mask": {"kind": "one_hot"}',
        "instance": '"mask": {"kind": "instances"}',
    }
    chosen = next((text for word, text in entry.items() if kind.startswith(word)), '"label_map": {"128": 1, "255": 2}')
    return f'Declare every value under "labels", or write {chosen} in datalist.json (it looks like {kind}).'
