# SPDX-License-Identifier: Apache-2.0
"""The arms of a tuned comparison, as a YAML file lists them: each a way of training with a grid of settings.

Every arm is tuned with the same budget, at most `MOST_POINTS` settings. What all arms have is listed under ``set``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dsfedmed.documents import read_yaml
from dsfedmed.errors import ConfigError
from dsfedmed.methods import METHODS
from dsfedmed.options import dotted, read_options, require, require_choice, require_plain_name
from dsfedmed.settings import merge
from dsfedmed_benchmarks.studies.ablation_rows import yaml_text

METHOD = "dsfedmed"
MOST_POINTS = 8


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        key: part of its runs' names.
        name: shown in tables.
        kind: "method" for the method's arms, "baseline" for its opponents, "bound" for what no federation may do.
        method: whose job is run, a key of `dsfedmed.methods.METHODS`.
        model: key of the model that counts, where it is one that the run compares with; empty for the method's own.
        set: settings of all its points.
        grid: the settings of each point, laid over ``set``; one point of nothing where it is not tuned.
        rounds: the rounds at which it is run; empty for all that are asked for.
    """

    key: str
    name: str
    kind: Literal["method", "baseline", "bound"] = "method"
    method: str = METHOD
    model: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    grid: tuple[dict[str, Any], ...] = ({},)
    rounds: tuple[int, ...] = ()

    @property
    def counts(self) -> str:
        """Key of the model that counts."""
        return self.model or self.method

    def words(self, point: int, rounds: int) -> list[str]:
        """Return the job's ``--set`` arguments at a point of the grid."""
        values = merge(merge(self.set, self.grid[point]), {"rounds": rounds})
        return [word for key, value in dotted(values) for word in ("--set", f"{key}={yaml_text(value)}")]

    def shown(self, point: int) -> str:
        """Return what is particular to a point, as a table shows it."""
        found = (f"{key.rpartition('.')[2]} {yaml_text(value)}" for key, value in dotted(self.grid[point]))
        return ", ".join(found)


@dataclass(frozen=True)
class Arms:
    """The arms, and the settings of the run whose generators they all share."""

    arms: tuple[Arm, ...]
    generator: dict[str, Any]

    def generator_words(self) -> list[str]:
        """Return the ``--set`` arguments of the run that fits the generators."""
        return [word for key, value in dotted(self.generator) for word in ("--set", f"{key}={yaml_text(value)}")]


def read_arms(path: Path) -> Arms:
    """Read a file of arms.

    Raises:
        ConfigError: it cannot be read, an arm has an unknown key or too many points, or two arms have one key.
    """
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({error})", "Give a YAML file with a list `arms`") from error
    listed = content.get("arms") if isinstance(content, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(arm, Mapping) and arm.get("key") for arm in listed):
        raise ConfigError(path, "has no list `arms` of entries with a `key`", "Write arms: [{key: a, name: A}]")
    common = content.get("set", {})
    arms = tuple(_arm(entry, common, path.name) for entry in listed)
    keys = [arm.key for arm in arms]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    require(twice is None, str(path), f"has more than one arm '{twice}'", "Give each arm a key of its own")
    return Arms(arms, merge(common, content.get("generator", {})))


def _arm(entry: Mapping[str, Any], common: Mapping[str, Any], file: str) -> Arm:
    where = f"{file} arm {entry['key']}"
    require_plain_name(where, entry["key"])
    arm = read_options(Arm, {**entry, "grid": tuple(entry.get("grid", ({},)))}, where)
    require_choice(f"{where} method", arm.method, tuple(METHODS))
    points = len(arm.grid)
    fix = f"Every arm has the same budget: at most {MOST_POINTS}"
    require(0 < points <= MOST_POINTS, where, f"has {points} points in its grid", fix)
    return replace(arm, set=merge(dict(common), arm.set), rounds=tuple(arm.rounds))
