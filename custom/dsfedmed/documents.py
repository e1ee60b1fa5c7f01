# SPDX-License-Identifier: Apache-2.0
"""JSON and YAML that came from somewhere: read within limits that are judged before anything is made of the text.

A few kilobytes can ask for gigabytes (YAML's references to references) or for more depth than Python's stack has, and
a path may lead to a pipe that never ends. Whatever is refused here is a ``ValueError`` in one line; the caller, who
knows what the file is for, names it and the fix.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from dsfedmed.errors import worded

JSON_BYTES = 32 * 1024**2  # at worst 25 times as much in memory: lists of empty lists
OWN_BYTES = 1024**3  # of what this package wrote itself: a record holds the scores of every test image
YAML_BYTES = 256 * 1024  # PyYAML reads about 100 KiB a second
MOST_UNFOLDED = 2_000_000  # values and letters of a YAML text in which every reference stands for what it names
MOST_LEVELS = 64
MOST_DIGITS = 100  # of one number
Pairs = Callable[[list[tuple[str, Any]]], Any]
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_bytes(path: Path, most: int = JSON_BYTES) -> bytes:
    """Return the content of a file of at most ``most`` bytes.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no file (a pipe would be waited for, a device never ends), or longer.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a file (a pipe, socket, device or folder)")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most // 1024} KiB")
    return content


def parse_json(
    text: str | bytes,
    pairs: Pairs | None = None,
    constant: Callable[[str], Any] | None = None,
    most: int = JSON_BYTES,
) -> Any:
    """Return what JSON says.

    Args:
        text: at most ``most`` long.
        pairs: as ``json.loads`` takes it as ``object_pairs_hook``.
        constant: as ``json.loads`` takes it as ``parse_constant``, for NaN and infinities.
        most: bytes or letters.

    Raises:
        ValueError: it is too long, no JSON, nested too deep, or holds a number of too many digits.
    """
    if len(text) > most:
        raise ValueError(f"it has more than {most // 1024} KiB")
    try:
        found = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    _check_levels(found)
    return found


def parse_yaml(text: str | bytes) -> Any:
    """Return what YAML says; only plain values are made of it, no objects.

    Raises:
        ValueError: it is too long, no YAML, nested too deep, refers to itself, unfolds to too much, or holds a number
            of too many digits.
    """
    if len(text) > YAML_BYTES:
        raise ValueError(f"it has more than {YAML_BYTES // 1024} KiB")
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _measured(root, {})
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(worded(error)) from error  # PyYAML stumbles over tags that do not fit their values


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """Return what a JSON file of at most ``most`` bytes says; errors of :func:`read_bytes` and :func:`parse_json`."""
    return parse_json(read_bytes(path, most), most=most)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says; errors of :func:`read_bytes` and :func:`parse_yaml`."""
    return parse_yaml(read_bytes(path, YAML_BYTES))


def _check_levels(document: Any) -> None:
    """Refuse what is nested too deep, or holds a whole number that nothing later could write or compare."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MOST_LEVELS:
            raise ValueError(_too_deep())
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following += value.values()
            elif isinstance(value, list):
                following += value
            elif type(value) is int and value.bit_length() > 3.33 * MOST_DIGITS:
                raise ValueError(_too_long_a_number())
        level = following


def _measured(node: yaml.Node, known: dict[int, tuple[int, int]], above: tuple[int, ...] = ()) -> tuple[int, int]:
    """Judge a YAML text by its parts, before values are made of them; each is looked at once, however often named.

    Args:
        node: the part.
        known: what was found of parts, by their ids.
        above: ids of the parts that this one stands in.

    Returns:
        How many values and letters it unfolds to, and how many levels: both count what its references stand for.

    Raises:
        ValueError: it contains itself, or has too much of either, or a number of too many digits.
    """
    key = id(node)
    if key in above:
        raise ValueError("a part of it contains itself")
    if len(above) + known.get(key, (0, 1))[1] > MOST_LEVELS:
        raise ValueError(_too_deep())
    if key in known:
        return known[key]
    weight, levels = 1, 1
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise ValueError(_too_long_a_number())
        weight += len(node.value)
    else:
        inside = (*above, key)
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        for part in parts:
            its_weight, its_levels = _measured(part, known, inside)
            weight, levels = weight + its_weight, max(levels, 1 + its_levels)
            if weight > MOST_UNFOLDED:
                raise ValueError(f"its references unfold to more than {MOST_UNFOLDED:,} values and letters")
    known[key] = weight, levels
    return known[key]


def _too_deep() -> str:
    return f"it is nested more than {MOST_LEVELS} levels deep"


def _too_long_a_number() -> str:
    return f"a number in it has more than {MOST_DIGITS} digits"
