# SPDX-License-Identifier: Apache-2.0
"""A run that has begun in ``--out`` goes on only as what it was: the same settings, sites, data and weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfedmed.cli.job.inputs import FILES, FOLDERS
from dsfedmed.data.datalist import load_datalist
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, own_names
from dsfedmed.federated.party.site_data import (
    MEMORY,
    PUBLIC_DATA,
    PUBLIC_MEMORY,
    SITE_DATA,
    data_fingerprint,
)
from dsfedmed.federated.server.reuse import STORE_GROWING
from dsfedmed.federated.server.run_record import FILE_NAME as RECORD
from dsfedmed.settings import Settings
from dsfedmed.site_names import with_own_names
from dsfedmed.store.differences import differences
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.fingerprint import NONE, Fingerprint, fingerprint, read_fingerprint
from dsfedmed.store.run_version import STORE, begun_config, has_begun, require_run_of_this_version
from dsfedmed.store.stage_store import StageStore

WEIGHTS = "weights_files.json"
"""Below the run folder: the hashes of the weights files that the run began with, by option."""
MADE = (
    STORE, STORE_GROWING, RECORD, "results.json", "report.html", "status.json", "release", "synthetic", "embeddings",
    "references", "updates", "public", "sites", "nvflare", "local", WEIGHTS, PUBLIC_MEMORY,
)  # fmt: skip
"""What runs write below their folder."""
FIX = "Choose another --out (--reuse RUN takes over what the change does not affect), or delete that run: --start-over"
SAME = "Give what the run began with, choose another --out, or remove that run with --start-over"


class BegunRun:
    """The run folder ``--out`` and what a run that has begun there was made of; nothing is written before `accept`.

    Args:
        layout: where everything lies.
        folders: the sites' folders by the names that travel.
    """

    def __init__(self, layout: SimulatedSites, folders: Mapping[str, str]) -> None:
        self.layout, self.folders, self.run = layout, dict(folders), layout.run
        self.own = own_names(folders)
        self._data: dict[Path, Fingerprint] = {}
        self._weights: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        """Whether a run has begun there."""
        return has_begun(self.run)

    def require_same(self, method: str, settings: Settings, leaving: Mapping[str, int]) -> None:
        """See that the run that is there is of this method, these settings and sites, and the same that leave.

        Raises:
            ConfigError: it is not; all that differs is named with the old and the new value.
            StoreError: another version of the program made it.
        """
        require_run_of_this_version(self.run)
        if not self.exists:
            return
        before = begun_config(self.run)
        sources = [site for site in self.folders if site not in settings.unseen]
        now: dict[str, Any] = {"method": method, "settings": settings.to_dict(), "sites": sources}
        record = read_json(self.run / RECORD) if (self.run / RECORD).exists() else {}
        left = {f"--leave {site}": rounds for site, rounds in record.get("leaving", {}).items()}
        leave = {f"--leave {site}": rounds for site, rounds in leaving.items()}
        found = differences({**before, **left}, {**now, **leave})
        if found:
            known = self.own | dict(record.get("site_names") or {})
            raise ConfigError(self.run, f"holds another run ({with_own_names(found, known)})", FIX)

    def require_same_weights(self) -> None:
        """See that the weights files are, by their content, those that the run began with.

        Raises:
            ConfigError: one is not, is new, or is no longer given.
        """
        memory = self.run / WEIGHTS
        before = read_json(memory) if memory.exists() else {}
        for name, option in FILES.items():
            path: Path | None = getattr(self.layout, name)
            known = Fingerprint(**before.get(name, {"files": {}, "marks": {}}))
            now = NONE if path is None else fingerprint(path.resolve().parent, [path.resolve()], known)
            if self.exists and before and sorted(known.files.values()) != sorted(now.files.values()):
                began = ", ".join(known.files) or "none"
                shown = "none is given" if path is None else f"{path.name} is given, which is another file"
                raise ConfigError(self.run, f"holds a run with another {option}: it began with {began}, {shown}", SAME)
            self._weights[name] = {"files": now.files, "marks": now.marks}

    def require_same_data(self) -> None:
        """See that the sites' datalists and files are, by their content, those that the run began with.

        Raises:
            ConfigError: they are not; each such site is named, and how many of its files have changed.
            StoreError: a file cannot be read.
        """
        began = self._stored(SITE_DATA)
        changed = []
        for plain, name in self.folders.items():
            memory = self.run / "sites" / plain / MEMORY
            changed += self._changes(self.own.get(plain, plain), self.layout.sites / name, memory, began.get(plain))
        if self.layout.public is not None:
            public = self._stored(PUBLIC_DATA).get("sha256")
            changed += self._changes("the public set", self.layout.public, self.run / PUBLIC_MEMORY, public)
        if changed:
            reason = f"holds a run of other data: {'; '.join(changed)} since it began"
            raise ConfigError(self.run, reason, SAME)

    def accept(self) -> None:
        """Remember the hashes of everything that was looked at, for the sites and for the next start."""
        write_json(self.run / WEIGHTS, self._weights)
        for path, found in self._data.items():
            if found != read_fingerprint(path):
                found.write(path)

    def remove(self) -> None:
        """Remove what a run has written below the folder, and nothing else.

        Raises:
            ConfigError: something that the new run is given lies in it; nothing is removed.
        """
        self._require_not_given()
        for name in MADE:
            path = self.run / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _require_not_given(self) -> None:
        """See that no site, folder or file that the new run is given goes with the old run."""
        given = {option: getattr(self.layout, name) for name, option in (FILES | FOLDERS).items()}
        sites = {f"--sites {self.layout.sites}": self.layout.sites / name for name in self.folders.values()}
        written = {(self.run / name).resolve() for name in MADE}
        for option, path in (given | sites).items():
            if path is not None and written & {path.resolve(), *path.resolve().parents}:
                reason = f"{path} is of the run that --start-over removes"
                raise ConfigError(option, reason, "Copy it elsewhere, or choose another --out")

    def _stored(self, stage: str) -> dict[str, Any]:
        if not self.exists:
            return {}
        store = StageStore.existing(self.run / STORE)
        return store.get(stage).info if store.has(stage) else {}

    def _changes(self, name: str, folder: Path, memory: Path, began: str | None) -> list[str]:
        """Say how a site's data differ from those with the digest ``began``; no text where they do not."""
        known = read_fingerprint(memory)
        now = data_fingerprint(load_datalist(folder), memory)
        self._data[memory] = now
        if began is None or began == now.sha256:
            return []
        if known.sha256 != began:
            return [f"the data of {name} have changed"]
        count = now.changed_since(known)
        return [f"{count} {'file' if count == 1 else 'files'} of {name} {'has' if count == 1 else 'have'} changed"]
