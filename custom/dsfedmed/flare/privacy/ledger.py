# SPDX-License-Identifier: Apache-2.0
"""The site's own account of noisy releases, over all runs: ``privacy_budget.json`` in the folder ``local``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.exchange.accounting import composed
from dsfedmed.store.files import read_json, write_json

SEED_BITS = 63


@dataclass(frozen=True)
class Release:
    """One noisy update that was, or is about to be, sent.

    Attributes:
        key: what was released: run, task, training run, round, and the hash of the clipped update.
        mu: its cost (see `dsfedmed.exchange.accounting`).
        seed: of its noise, from the operating system. Whoever has it can take the noise away: it stays here.
    """

    key: str
    mu: float
    seed: int


class PrivacyLedger:
    """Releases on disk. The file is read anew each time, since NVFlare may restart the process between two tasks."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def releases(self) -> dict[str, Release]:
        """Return all releases by key."""
        entries = read_json(self.file) if self.file.exists() else []
        return {entry["key"]: Release(**entry) for entry in entries}

    def get_or_create(self, key: str, mu: float) -> Release:
        """Return the release of that key: the same one, with the same noise, when it is asked again."""
        return self.releases().get(key) or Release(key, mu, secrets.randbits(SEED_BITS))

    def total_with(self, release: Release) -> float:
        """Return mu of all releases and this one."""
        return composed(entry.mu for entry in (self.releases() | {release.key: release}).values())

    def record(self, release: Release) -> None:
        """Write a release down; done before it leaves."""
        entries = self.releases() | {release.key: release}
        write_json(self.file, [vars(entry) for entry in entries.values()])
