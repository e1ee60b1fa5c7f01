# SPDX-License-Identifier: Apache-2.0
"""The rows of an ablation, as a YAML file lists them: a name and the settings that it changes.

Settings that all rows have, such as which baselines to leave out, are listed beside the rows under ``set``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dsfedmed.documents import read_yaml
from dsfedmed.errors import ConfigError
from dsfedmed.options import dotted, read_options
from dsfedmed.settings import merge
from dsfedmed_benchmarks.studies.ablation import METHOD


@dataclass(frozen=True)
class AblationChange:
    """One row.

    Attributes:
        name: shown in the table.
        set: settings laid over the preset, section by section.
        teacher_weights: whether the teacher starts from the given weights; if not, from random ones.
    """

    name: str
    set: dict[str, Any] = field(default_factory=dict)
    teacher_weights: bool = True

    @property
    def slug(self) -> str:
        """What its runs' folders begin with: the name; the preset's own runs are those of `compare-methods`."""
        if self.teacher_weights and not self.set:
            return METHOD
        kept = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return "_".join(kept.split())

    def words(self) -> list[str]:
        """Return the job's ``--set`` arguments."""
        return [word for key, value in dotted(self.set) for word in ("--set", f"{key}={yaml_text(value)}")]


def read_rows(path: Path) -> tuple[AblationChange, ...]:
    """Read a rows file; what it sets for all rows is part of each.

    Raises:
        ConfigError: it cannot be read, has no ``rows``, an unknown key, or two rows of one name.
    """
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({error})", "Give a YAML file with a list `rows`") from error
    rows = content.get("rows") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and row.get("name") for row in rows) or not rows:
        raise ConfigError(path, "has no list `rows` of entries with a `name`", "Write rows: [{name: default}]")
    if unknown := content.keys() - {"rows", "set"}:
        raise ConfigError(path, f"has a key '{sorted(unknown)[0]}'", "Write `rows`, and `set` for what all rows have")
    common = content.get("set", {})
    read = [read_options(AblationChange, row, f"{path.name} row {row['name']}") for row in rows]
    changes = tuple(replace(change, set=merge(common, change.set)) for change in read)
    slugs = [change.slug for change in changes]
    twice = next((change.name for change in changes if slugs.count(change.slug) > 1), None)
    if twice is not None:
        raise ConfigError(path, f"has more than one row '{twice}'", "Give each row a name of its own")
    return changes


def yaml_text(value: Any) -> str:
    """Return a value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...").strip()
