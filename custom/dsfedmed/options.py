# SPDX-License-Identifier: Apache-2.0
"""Read a frozen dataclass of hyper-parameters from a configuration mapping; refuse what it does not know."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from dsfedmed.errors import ConfigError
from dsfedmed.ranges import shortened

OptionsT = TypeVar("OptionsT")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
"""Names that become a part of a path."""
LARGEST = 2**64
"""Whole numbers of settings are below it, either way."""


def read_options(kind: type[OptionsT], values: Mapping[str, Any], where: str) -> OptionsT:
    """Build the dataclass ``kind`` from ``values``; absent keys keep their defaults.

    Args:
        kind: a dataclass whose fields are numbers, booleans, strings or ``Literal`` choices.
        values: keys and values as a preset file gives them.
        where: the configuration section, for the error.

    Raises:
        ConfigError: an unknown key (the nearest valid one is named) or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    values = {key: _worded(value, hints.get(key)) for key, value in values.items()}
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"{where}.{key}", "unknown key", _nearest(key, names))
        _check_type(f"{where}.{key}", value, hints[key])
    return kind(**values)


class MethodOptions:
    """Base of the dataclasses of a method's own options: what a preset says under ``method``."""

    @classmethod
    def from_dict(cls: type[OptionsT], values: Mapping[str, Any], where: str = "method") -> OptionsT:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)


def require(condition: bool, where: str, reason: str, fix: str) -> None:
    """Raise ``ConfigError`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(where, reason, fix)


def require_choice(where: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` unless ``value`` is one of ``choices``."""
    require(value in choices, where, f"{value!r} is not a choice", f"Use one of {', '.join(choices)}")


def require_plain(where: str, value: object) -> None:
    """Raise ``ConfigError`` unless a value is text, a number, true, false or nothing, or lists and mappings of these.

    YAML also makes dates, bytes and sets, and keys that are numbers; jobs and records, which are JSON, hold none.
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            require(isinstance(key, str), f"{where}.{shortened(key)}", "is no name", "Write the key as text")
            require_plain(f"{where}.{shortened(key)[1:-1]}", entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            require_plain(where, entry)
    else:
        plain = value is None or isinstance(value, (str, bool, int, float))
        require(plain, where, f"{shortened(value)} is a {type(value).__name__}", "Write it as text, in quotes")
        small = type(value) is not int or abs(value) < LARGEST
        require(small, where, f"{shortened(value)} is too large a number", "Give a smaller one")


def require_plain_name(where: str, value: object) -> None:
    """Raise ``ConfigError`` unless ``value`` may become a part of a path: no separator, no dot, nothing hidden."""
    plain = isinstance(value, str) and PLAIN_NAME.fullmatch(value) is not None
    fix = "Give letters, digits, _ and -, at most 64 of them"
    require(plain, where, f"{value!r} is not a plain name", fix)


def dotted(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of nested sections under its dotted name, such as ("light.batch_size", 16)."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _nearest(key: str, names: list[str]) -> str:
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.4)
    return f"Did you mean {near[0]!r}?" if near else f"Valid keys are {', '.join(names)}."


def _worded(value: Any, hint: Any) -> Any:
    """Return the word "off" where YAML 1.1 made false of it and the field has that choice."""
    return "off" if value is False and "off" in typing.get_args(hint) else value


def _check_type(where: str, value: object, hint: Any) -> None:
    allowed = typing.get_args(hint) if typing.get_origin(hint) is Literal else None
    if allowed is not None:
        require_choice(where, str(value), tuple(str(choice) for choice in allowed))
    elif hint is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        require(good, where, f"{shortened(value)} is not a number", "Give a number.")
        finite = not isinstance(value, float) or math.isfinite(value)
        require(finite, where, f"{value!r} is not finite", "Give a finite number.")
    elif hint is int:
        good = isinstance(value, int) and not isinstance(value, bool)
        require(good, where, f"{shortened(value)} is not a whole number", "Give a whole number.")
    elif hint is str:
        require(isinstance(value, str), where, f"{shortened(value)} is not text", "Write text.")
    elif hint is bool:
        require(isinstance(value, bool), where, f"{shortened(value)} is not true or false", "Give true or false.")
