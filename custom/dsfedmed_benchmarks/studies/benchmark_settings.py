# SPDX-License-Identifier: Apache-2.0
"""The runs of one table must have the same settings and teacher weights: a mean over different ones says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsfedmed.errors import ConfigError
from dsfedmed.options import dotted
from dsfedmed.reporting.record import Record
from dsfedmed.settings import Settings

TEACHER_WEIGHTS = "the teacher weights"
VARIES = frozenset({"seed", "unseen", "preset", "method.label_site"})
"""Settings that differ between the runs of a table by intent."""


def require_same_settings(records: Sequence[Record]) -> None:
    """Check that all runs start from the same teacher weights, and a workflow's runs have the same settings.

    Raises:
        ConfigError: naming the run, what differs, and the run it differs from.
    """
    first: dict[str, tuple[Record, dict[str, Any]]] = {}
    for record in records:
        settings = _settings(record)
        other, others = first.setdefault(record.method, (record, settings))
        for key, mine, theirs in (*_teacher_weights(record, records[0]), *_differences(settings, others)):
            against = records[0] if key == TEACHER_WEIGHTS else other
            reason = f"differs from {against.run.name} in {key} ({mine}, not {theirs})"
            fix = "Move the runs of the other settings away; the same command then makes them again"
            raise ConfigError(record.run.name, reason, fix)


def require_planned(record: Record, planned: Settings) -> None:
    """Check that a run that is there has the settings that it would have if it were made now.

    Raises:
        ConfigError: naming the run and the first setting that differs.
    """
    for key, mine, theirs in _differences(_settings(record), _plain(planned.to_dict(), "planned")):
        reason = f"has {key} {mine}, where a run made now would have {theirs}"
        fix = "Give that run's value (--set, --preset), or move its folder away; the same command then makes it again"
        raise ConfigError(record.run.name, reason, fix)


def _teacher_weights(record: Record, other: Record) -> Iterator[tuple[str, Any, Any]]:
    mine, theirs = _digest(record), _digest(other)
    if mine != theirs:
        yield TEACHER_WEIGHTS, mine, theirs


def _differences(settings: dict[str, Any], others: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted((settings.keys() | others.keys()) - VARIES):
        if settings.get(key) != others.get(key):
            yield key, settings.get(key), others.get(key)


def _settings(record: Record) -> dict[str, Any]:
    """Return a run's settings by dotted key; an option that is younger than the run has its default, which is off."""
    return _plain(record.mapping("config"), f"{record.run.name}, config")


def _plain(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return dict(dotted(Settings.from_dict(values, where).to_dict()))


def _digest(record: Record) -> str:
    """Return the beginning of the SHA-256 of a run's teacher weights."""
    return str(record.mapping("teacher_weights").get("sha256") or "none")[:12]
