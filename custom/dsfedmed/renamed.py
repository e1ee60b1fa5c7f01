# SPDX-License-Identifier: Apache-2.0
"""Names of version 0.3 that are others now: who still writes an old one is told the new one, never misread.

What is renamed here is refused before anything starts. The names stay refused, so that none is used again for another
thing. CHANGELOG.md ("Upgrading from 0.3") lists them for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsfedmed.errors import ConfigError

SINCE = "0.4"
"""Version in which the names below were given up."""
SETTINGS = {
    "waits": "timeouts",
    "waits.task_s": "timeouts.task_s",
    "waits.after_enough_s": "timeouts.straggler_grace_s",
    "waits.after_absence_s": "timeouts.returning_grace_s",
    "schedule.every": "schedule.interval_rounds",
    "schedule.at": "schedule.distil_at",
    "generator_model.foundation": "generator_model.base",
    "light_overrides": "light_settings",
}
"""Dotted keys of settings, old to new; a section that is renamed stands here with its keys."""


def refuse_renamed(values: Mapping[str, Any], before: str) -> None:
    """Refuse settings that hold a key of version 0.3.

    Args:
        values: nested settings, as a preset, an override or a job's configuration gives them.
        before: what stands before the key in the error, such as ``demo.yaml.``.

    Raises:
        ConfigError: an old key, with the new one; the error's advice names all others that are there.
    """
    there = [old for old in SETTINGS if _has(values, old)]
    found = [old for old in there if not any(other.startswith(f"{old}.") for other in there)]
    if not found:
        return
    first, *others = found
    also = ", ".join(f"`{old}` to `{SETTINGS[old]}`" for old in others)
    fix = f"Write `{SETTINGS[first]}`" + (f"; renamed as well: {also}" if also else "")
    raise ConfigError(f"{before}{first}", f"renamed to `{SETTINGS[first]}` in {SINCE}", fix)


def refuse_renamed_word(word: str, renamed: Mapping[str, str]) -> None:
    """Refuse a command or an option of version 0.3.

    Args:
        word: as it stands on the command line.
        renamed: old names to new ones.

    Raises:
        ConfigError: the word is an old name; the error gives the new one.
    """
    if word in renamed:
        raise ConfigError(word, f"renamed to `{renamed[word]}` in {SINCE}", f"Write `{renamed[word]}`")


def _has(values: object, dotted: str) -> bool:
    """Tell whether nested mappings hold the key."""
    for part in dotted.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True
