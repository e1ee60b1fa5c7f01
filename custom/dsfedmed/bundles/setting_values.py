# SPDX-License-Identifier: Apache-2.0
"""Check one value against its declared type. No string passes that is not a choice, or a name of a label."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

Scalar: TypeAlias = int | float | str
SettingValue: TypeAlias = bool | Scalar | list[Scalar] | dict[str, str]
LABEL_VALUE = re.compile(r"[0-9]{1,3}")
LABEL_NAME = re.compile(r"[^\W_][\w ()+,'-]{0,63}")
RESERVED = re.compile(r"_(target|mode|requires|disabled|desc|meta|debug)_")
LISTS = {"numbers": "number", "integers": "integer", "strings": "string"}
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 60


def shown(value: object) -> str:
    """Return a value as an error may show it: short, whatever was sent."""
    try:
        return _BRIEF.repr(value)[:120]
    except ValueError:  # a whole number that Python will not write out
        return f"a {type(value).__name__} of great length"


def checked_value(
    value: object,
    kind: str,
    minimum: float | None,
    maximum: float | None,
    choices: tuple[str | int, ...],
    min_items: int,
    max_items: int,
) -> SettingValue:
    """Return ``value`` in the declared type: numbers as float, sequences as lists.

    Args:
        value: anything.
        kind: a type of the metadata's settings.
        minimum: least number allowed, if any.
        maximum: greatest number allowed, if any.
        choices: what is allowed, unless empty.
        min_items: least length of a list.
        max_items: greatest length of a list, or number of names.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if kind == "label_names":
        return _label_names(value, max_items)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not true or false")
        return value
    one = partial(_scalar, LISTS.get(kind, kind), minimum, maximum, choices)
    return _items(value, one, min_items, max_items) if kind in LISTS else one(value)


def _scalar(
    kind: str, minimum: float | None, maximum: float | None, choices: tuple[str | int, ...], value: object
) -> Scalar:
    if kind == "string":
        if type(value) is not str or value not in choices:
            raise ValueError(f"{shown(value)} is none of {', '.join(str(choice) for choice in choices)}")
        return value
    found = _number(value, whole=kind == "integer")
    # A comparison holds for whole numbers of any length, and for no NaN; so it comes before the conversion.
    if minimum is not None and maximum is not None and not minimum <= found <= maximum:
        raise ValueError(f"{shown(value)} lies outside {minimum:g} to {maximum:g}")
    if choices and found not in choices:
        raise ValueError(f"{shown(value)} is none of {', '.join(str(choice) for choice in choices)}")
    return found if kind == "integer" else float(found)


def _items(value: object, one: Callable[[object], Scalar], least: int, most: int) -> list[Scalar]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{shown(value)} is not a list")
    if not least <= len(value) <= most:
        raise ValueError(f"it has {len(value)} items, allowed are {least} to {most}")
    return [one(item) for item in value]


def _number(value: object, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ValueError(f"{shown(value)} is not a {'whole ' if whole else ''}number")
    return value


def _label_names(value: object, most: int) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not a mapping of label values to names")
    if not 1 <= len(value) <= most:
        raise ValueError(f"it has {len(value)} names, allowed are 1 to {most}")
    for key, name in value.items():
        if type(key) is not str or not LABEL_VALUE.fullmatch(key):
            raise ValueError(f"{shown(key)} is not a label value")
        if type(name) is not str or not LABEL_NAME.fullmatch(name) or RESERVED.search(name):
            allowed = "1 to 64 letters, digits, spaces and any of ( ) + , ' - _, a letter or digit first"
            raise ValueError(f"the label name {shown(name)} is not of {allowed}")
    return dict(value)
