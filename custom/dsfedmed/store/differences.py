# SPDX-License-Identifier: Apache-2.0
"""What differs between a run that is there and the one that is asked for, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsfedmed.options import dotted

MOST = 6
"""Differences named at most; of more only the number is said."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words in which values two configurations differ: ``seed: 0, now 5; rounds: 1, now 3``.

    Args:
        before: the run that is there: nested JSON-like mappings; its ``settings`` are named without that word.
        now: the one that is asked for; empty text is returned where the two are equal.
    """
    old, new = _flat(before), _flat(now)
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    said = [f"{name}: {_shown(old, name)}, now {_shown(new, name)}" for name in names[:MOST]]
    more = [f"and {len(names) - MOST} more"] if len(names) > MOST else []
    return "; ".join(said + more)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name in the form that a JSON file gives them."""
    plain = json.loads(json.dumps(values))
    return {name.removeprefix("settings."): value for name, value in dotted(plain)}


def _shown(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if name not in values:
        return "not set"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) and value else json.dumps(value)
