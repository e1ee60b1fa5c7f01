# SPDX-License-Identifier: Apache-2.0
"""The page of all settings: name, default and meaning, from the dataclasses and their docstrings."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from dsfedmed.generator.config_fields import GeneratorFields
from dsfedmed.methods import METHODS
from dsfedmed.settings import Settings

HEAD = """# Settings

What a preset or `--set KEY=VALUE` may say, with the defaults. Keys of a section are written with a dot
(`--set schedule.interval_rounds=5`). A preset may build on another one (`base: cpu`). Unknown keys and values out of
range are refused before anything runs. This page is made from the code (`make docs`).
"""
_ENTRY = re.compile(r"^    (\w+): (.*)$")


def settings_page() -> str:
    """Return the page as Markdown."""
    lines = [HEAD, "## Of the run", "", *_table(Settings, "")]
    for field in fields(Settings):
        kind = field.default_factory
        if isinstance(kind, type) and is_dataclass(kind):
            lines += [f"## `{field.name}`", "", _first_line(kind), "", *_table(kind, f"{field.name}.")]
    lines += [
        "## `generator_model`",
        "",
        _first_line(GeneratorFields),
        "",
        *_table(GeneratorFields, "generator_model."),
    ]
    for options, names in _by_options().items():
        methods = ", ".join(f"`{name}`" for name in names)
        lines += [f"## `method` of {methods}", "", _first_line(options), "", *_table(options, "method.")]
    return "\n".join(lines)


def _by_options() -> dict[type[Any], list[str]]:
    """Return the methods that have options of their own, by the dataclass of these."""
    found: dict[type[Any], list[str]] = {}
    for key, method in METHODS.items():
        options = method.load_options()
        if options is not None:
            found.setdefault(options, []).append(key)
    return found


def meanings(kind: type[Any]) -> dict[str, str]:
    """Return the text of each attribute that a dataclass's docstring explains, its inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if is_dataclass(base)]):
        found |= _attributes(inspect.cleandoc(base.__doc__ or ""))
    return found


def _attributes(text: str) -> dict[str, str]:
    _, _, part = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in part.split("\n"):
        entry = _ENTRY.match(line)
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
        elif line and not line.startswith(" "):
            break
    return found


def _table(kind: type[Any], prefix: str) -> list[str]:
    known = meanings(kind)
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for field in fields(kind):
        if isinstance(field.default_factory, type) and is_dataclass(field.default_factory):
            continue
        value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc, operator]
        meaning = known[field.name].replace("|", "\\|").replace("``", "`")
        rows.append(f"| `{prefix}{field.name}` | `{_shown(value)}` | {meaning} |")
    return [*rows, ""]


def _first_line(kind: type[Any]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").split("\n")[0]


def _shown(value: Any) -> str:
    return json.dumps(value, default=list)
