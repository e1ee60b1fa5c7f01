# SPDX-License-Identifier: Apache-2.0
"""Typed requests and replies to JSON and back; the one place that takes what came over the wire as it came.

`to_json` writes a frozen dataclass as nested JSON. `from_json` builds it again and refuses, naming the sender and the
field, a key that is unknown or missing, a value of another type, and a number, name or size out of the range that the
field's type declares (`dsfedmed.ranges`). A class with rules of its own over several fields raises its
error in ``__post_init__`` or ``from_dict``; the sender is then named as well.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union

from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.ranges import DEFAULTS, Between, Length, Matches, shortened
from dsfedmed.store.json_types import Json, JsonObject

T = TypeVar("T")
SAME_VERSION = "Use the same version of dsfedmed everywhere"
DEEPEST = 12


class _Refused(Exception):
    """Why a value is refused, with the path of the field."""


def to_json(value: object) -> Json:
    """Return a dataclass, or a value that one may hold, as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} cannot cross the wire")


def to_object(body: object) -> JsonObject:
    """Return a dataclass as a JSON object."""
    content = to_json(body)
    if not isinstance(content, dict):
        raise TypeError(f"{type(body).__name__} is not a dataclass")
    return content


def from_json(kind: type[T], content: object, sender: str) -> T:
    """Build the dataclass ``kind`` from what ``sender`` sent.

    Raises:
        PayloadError: naming the sender, the field and the reason.
    """
    try:
        return typing.cast(T, _build(kind, content, kind.__name__, 0))
    except _Refused as refused:
        raise PayloadError(sender, f"sent {refused}", SAME_VERSION) from None
    except DSFedMedError as error:
        raise PayloadError(sender, f"sent {kind.__name__} in which {error.where}: {error.reason}", error.fix) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PayloadError(sender, f"sent {kind.__name__} that makes no sense ({error})", SAME_VERSION) from error


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _build(kind: Any, content: Any, where: str, depth: int) -> object:
    """Build a dataclass from a mapping with exactly its fields; those with a default may be left out."""
    if depth > DEEPEST or not isinstance(content, Mapping):
        raise _Refused(f"{where}, which is {shortened(content)} and no mapping of known depth")
    fields = [field for field in dataclasses.fields(kind) if field.init]
    names = {field.name for field in fields}
    unknown = sorted(shortened(key) for key in content if key not in names)
    if unknown:
        raise _Refused(f"{where} with the unknown key {unknown[0]}")
    values: dict[str, Any] = {}
    for field in fields:
        if field.name in content:
            hint = _hints(kind)[field.name]
            values[field.name] = _read(hint, content[field.name], f"{where}.{field.name}", depth + 1)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Refused(f"{where} without its key '{field.name}'")
    return kind.from_dict(to_json(values)) if hasattr(kind, "from_dict") else kind(**values)


def _read(hint: Any, value: Any, where: str, depth: int) -> Any:
    """Return a value of the type ``hint``, its range included."""
    limits: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *found = typing.get_args(hint)
        limits = tuple(found)
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(hint, value, where, depth, limits)
    if origin is Literal:
        choices = typing.get_args(hint)
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise _Refused(f"{where} = {shortened(value)}, which is none of {', '.join(map(str, choices))}")
        return value
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where, depth)
    if origin in (tuple, list):
        return _read_sequence(hint, value, where, depth, limits)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _read_mapping(hint, value, where, depth, limits)
    return _read_plain(hint, value, where, limits)


def _read_union(hint: Any, value: Any, where: str, depth: int, limits: tuple[Any, ...]) -> Any:
    """Return the value as the first of the alternatives that it fits."""
    reasons = []
    for choice in typing.get_args(hint):
        if choice is type(None):
            if value is None:
                return None
            continue
        try:
            return _read(Annotated[(choice, *limits)] if limits else choice, value, where, depth)
        except _Refused as refused:
            reasons.append(refused)
    raise reasons[-1] if reasons else _Refused(f"{where} = {shortened(value)}")


def _read_sequence(hint: Any, value: Any, where: str, depth: int, limits: tuple[Any, ...]) -> Any:
    arguments = typing.get_args(hint)
    if not isinstance(value, (list, tuple)) or depth > DEEPEST:
        raise _Refused(f"{where} = {shortened(value)}, which is not a list")
    if typing.get_origin(hint) is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _Refused(f"{where} with {len(value)} entries instead of {len(arguments)}")
        return tuple(_read(kind, entry, where, depth + 1) for kind, entry in zip(arguments, value, strict=True))
    _check(limits or (DEFAULTS[tuple],), len(value), where)
    entries = [_read(arguments[0], entry, where, depth + 1) for entry in value]
    return entries if typing.get_origin(hint) is list else tuple(entries)


def _read_mapping(hint: Any, value: Any, where: str, depth: int, limits: tuple[Any, ...]) -> dict[Any, Any]:
    key_kind, kind = typing.get_args(hint)
    if not isinstance(value, Mapping) or depth > DEEPEST:
        raise _Refused(f"{where} = {shortened(value)}, which is not a mapping")
    _check(limits or (DEFAULTS[dict],), len(value), where)
    keys = [_read(key_kind, key, f"{where}'s key", depth + 1) for key in value]
    entries = [_read(kind, entry, f"{where}[{shortened(key)}]", depth + 1) for key, entry in value.items()]
    return dict(zip(keys, entries, strict=True))


def _read_plain(hint: Any, value: Any, where: str, limits: tuple[Any, ...]) -> Any:
    if hint is float and type(value) is int:
        value = float(value)
    if hint not in (bool, int, float, str) or type(value) is not hint:
        raise _Refused(f"{where} = {shortened(value)}, which is no {getattr(hint, '__name__', hint)}")
    if hint is str and not _is_text(value):
        raise _Refused(f"{where} = {shortened(value)}, which no file can hold")
    if hint is not bool:
        _check(limits or (DEFAULTS[hint],), value, where)
    return value


def _is_text(value: str) -> bool:
    """Tell a string that has an UTF-8 form; JSON can also say one that has not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(limits: tuple[Any, ...], value: Any, where: str) -> None:
    for limit in limits:
        if isinstance(limit, Length):
            problem = limit.problem(len(value) if isinstance(value, str) else value)
        elif isinstance(limit, (Between, Matches)):
            problem = limit.problem(value)
        else:
            continue
        if problem:
            raise _Refused(f"{where}: {problem}")
