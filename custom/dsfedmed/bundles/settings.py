# SPDX-License-Identifier: Apache-2.0
"""What a job may set of a bundle: the settings that its ``configs/metadata.json`` declares, and nothing else.

A value is data: a number within its range, a choice from a list, or names of labels. What MONAI would take for code, a
reference, a macro or a path is none of these, whatever key it comes under.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import jsonschema

from dsfedmed.bundles.setting_values import SettingValue, checked_value, shown
from dsfedmed.errors import ConfigError

Kind = Literal["number", "integer", "boolean", "string", "numbers", "integers", "strings", "label_names"]
RUN_SETTINGS = ("image_size", "in_channels", "num_classes", "nested", "channel_def")
"""What a federation sets of every network that it trains."""


@dataclass(frozen=True)
class DeclaredSetting:
    """One entry of ``settings`` in a bundle's metadata.

    Attributes:
        name: how jobs call it.
        kind: the metadata's ``type``.
        sets: configuration ids that get the value ("network_def::channels").
        description: what it is, with its unit.
        minimum: least number allowed, of every item of a list; None for no number.
        maximum: greatest number allowed.
        choices: the values allowed, of every item of a list; empty where the range alone counts.
        blocks: configuration id below which every choice stands as a block of that name; "": the choice is the value.
        min_items: least length of a list.
        max_items: greatest length of a list, or number of names.
    """

    name: str
    kind: Kind
    sets: tuple[str, ...]
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str | int, ...] = ()
    blocks: str = ""
    min_items: int = 1
    max_items: int = 1


def declared_settings(metadata: Mapping[str, Any], where: object = "metadata.json") -> dict[str, DeclaredSetting]:
    """Return the settings that a bundle's metadata declare, by name; none where it has no ``settings``.

    Raises:
        ConfigError: naming ``where`` and the first declaration that the schema does not allow.
    """
    found = metadata.get("settings", {})
    for error in _validator().iter_errors(found):
        key = ".".join(["settings", *(str(part) for part in error.absolute_path)])
        raise ConfigError(
            where, f"{key}: {error.message[:200]}", "Correct the bundle; its schema says what is allowed."
        )
    return {name: _declared(name, entry) for name, entry in found.items()}


def check_settings(
    declared: Mapping[str, DeclaredSetting], values: Mapping[str, object], where: object
) -> dict[str, SettingValue]:
    """Return the values in their declared types.

    Args:
        declared: what the bundle declares.
        values: what somebody says, by name. Nothing of it is trusted.
        where: who says it, or which bundle it is said of.

    Raises:
        ConfigError: naming ``where`` and the first key or value that is not declared, or out of its range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(where, f"{shown(values)} is not a mapping of settings", "Write `name: value` lines.")
    for key in values:
        if not isinstance(key, str) or key not in declared:
            raise ConfigError(where, f"unknown setting {shown(key)}", _nearest(key, declared))
    return {name: _value(declared[name], value, where) for name, value in values.items()}


def values_by_id(
    declared: Mapping[str, DeclaredSetting], values: Mapping[str, SettingValue]
) -> dict[str, SettingValue]:
    """Return what each configuration id gets: the value, or a reference to the block that a choice names."""
    laid: dict[str, SettingValue] = {}
    for name, value in values.items():
        setting = declared[name]
        content = f"@{setting.blocks}::{value}" if setting.blocks else value
        laid |= dict.fromkeys(setting.sets, content)
    return laid


def schema() -> dict[str, Any]:
    """Return the JSON schema of a bundle's metadata."""
    return cast("dict[str, Any]", json.loads(_schema_file().read_text(encoding="utf-8")))


def _schema_file() -> Any:
    return importlib.resources.files("dsfedmed.bundles") / "metadata.schema.json"


@lru_cache(maxsize=1)
def _validator() -> jsonschema.Draft201909Validator:
    whole = schema()
    return jsonschema.Draft201909Validator({**whole["properties"]["settings"], "$defs": whole["$defs"]})


def _declared(name: str, entry: Mapping[str, Any]) -> DeclaredSetting:
    lists = {key: tuple(entry.get(key, ())) for key in ("sets", "choices")}
    plain = {key: value for key, value in entry.items() if key not in (*lists, "type")}
    return DeclaredSetting(name, entry["type"], **{**plain, **lists})


def _value(setting: DeclaredSetting, value: object, where: object) -> SettingValue:
    try:
        return checked_value(
            value, setting.kind, setting.minimum, setting.maximum, setting.choices, setting.min_items, setting.max_items
        )
    except ValueError as error:
        fix = f"'{setting.name}' is: {setting.description.rstrip('.')}."
        raise ConfigError(where, f"setting '{setting.name}': {error}", fix) from error


def _nearest(key: object, declared: Mapping[str, DeclaredSetting]) -> str:
    """Say which setting was meant: the one that sets this configuration id, or the one with the nearest name."""
    names = list(declared)
    if not names:
        return "The bundle declares no settings."
    text = str(key)[:64].replace("#", "::") if isinstance(key, str) else ""
    named = [name for name in names if text in declared[name].sets]
    if named:
        return f"That is a configuration id; the setting is called '{named[0]}'."
    near = difflib.get_close_matches(text.rpartition("::")[2], names, n=1, cutoff=0.4)
    return f"Did you mean '{near[0]}'?" if near else f"The bundle declares {', '.join(names)}."
