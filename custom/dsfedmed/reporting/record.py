# SPDX-License-Identifier: Apache-2.0
"""The run record: what the federation wrote down, read with tolerance for what is not there yet.

Sites are called by the names that people gave them, though they travelled under plain ones.

A record of an unfinished run lacks parts. Reading never invents them: every accessor answers with an
empty value, and ``missing`` says in words what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dsfedmed.documents import OWN_BYTES, parse_json
from dsfedmed.errors import StoreError
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.methods import MODELS, required_models, uses_teacher
from dsfedmed.reporting.methods import ONLY_OF, display_name
from dsfedmed.site_names import with_own_names

RECORD_NAME = "record.json"
FIX = "Run the job again with the same --out: it resumes after the last complete stage."
Cases = dict[str, dict[str, list[CaseMetrics]]]


@dataclass(frozen=True)
class Record:
    """One run's record and the folder it lies in.

    Attributes:
        run: the run folder.
        data: the parsed JSON.
    """

    run: Path
    data: Mapping[str, Any]

    @property
    def sites(self) -> tuple[str, ...]:
        """Source sites, in the record's order."""
        return tuple(self.data.get("sites") or ())

    @property
    def unseen(self) -> tuple[str, ...]:
        """Held-out sites."""
        return tuple(self.data.get("unseen") or ())

    @property
    def all_sites(self) -> tuple[str, ...]:
        """Source sites, then held-out sites."""
        return self.sites + self.unseen

    @property
    def names_that_travel(self) -> dict[str, str]:
        """Names under which the sites travelled, and by which their folders in the run are called, by own name."""
        plain = {own: name for name, own in self.mapping("site_names").items()}
        return {site: str(plain.get(site, site)) for site in self.all_sites}

    @property
    def method(self) -> str:
        """The workflow that ran, such as "dsfedmed"."""
        return str(self.data.get("method") or "dsfedmed")

    @property
    def label_site(self) -> str:
        """The site whose labels play SAM-Fed's public set; empty where there is none."""
        return str((self.mapping("config").get("method") or {}).get("label_site") or "")

    @property
    def training_sites(self) -> tuple[str, ...]:
        """The source sites that train."""
        return tuple(site for site in self.sites if site != self.label_site)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.data.get("seed") or 0)

    @property
    def verdict(self) -> str:
        """The run's own verdict; a run that never gave one is incomplete."""
        return str(self.data.get("verdict") or "incomplete: the run has given no verdict yet")

    @property
    def complete(self) -> bool:
        """Whether the verdict is "complete"."""
        return self.verdict == "complete"

    @property
    def made_up(self) -> tuple[str, ...]:
        """Sites whose datalist says that their images are made up."""
        facts = self.mapping("facts")
        return tuple(site for site in self.all_sites if (facts.get(site) or {}).get("made_up"))

    @property
    def random_teacher(self) -> bool:
        """Whether the method's teacher began with random weights."""
        start = self.mapping("teacher_weights")
        return uses_teacher(self.method) and "sha256" in start and start["sha256"] is None

    @property
    def untrained(self) -> tuple[str, ...]:
        """Models of which the start was scored as it was: no step was taken, or validation chose round 0 of it."""
        budgets, chosen = self.mapping("budgets"), self.mapping("selected")
        spent = {
            key: ((budgets.get(key) or {}).get("local_steps"), (chosen.get(key) or {}).get("local_steps"))
            for key in budgets.keys() | chosen.keys()
        }
        return tuple(model.key for model in MODELS if 0 in spent.get(model.key, ()))

    def mapping(self, key: str) -> dict[str, Any]:
        """Return the object under ``key``, empty when it is absent.

        Raises:
            StoreError: something else is there.
        """
        return dict(self._of_kind(key, dict))

    def entries(self, key: str) -> list[dict[str, Any]]:
        """Return the list of objects under ``key``, empty when it is absent.

        Raises:
            StoreError: something else is there.
        """
        found = self._of_kind(key, list)
        if not all(isinstance(entry, dict) for entry in found):
            raise self._unusable(key)
        return [dict(entry) for entry in found]

    @cached_property
    def cases(self) -> Cases:
        """Per-image metrics by method and site.

        Raises:
            StoreError: an entry is not three equally long lists of finite numbers.
        """
        return {
            method: {site: self._metrics(method, site, found) for site, found in sites.items() if found}
            for method, sites in self.mapping("cases").items()
            if sites
        }

    def missing(self) -> list[str]:
        """Say what a complete record would have and this one has not."""
        said = []
        for method in MODELS:
            tested = self.cases.get(method.key, {})
            lacking = [site for site in self.all_sites if site not in tested]
            if lacking and (method.key in required_models(self.method) or tested):
                said.append(f"{display_name(method.key)}: no test figures of {', '.join(lacking)}")
        for key, what in (
            ("stages", "times per stage"),
            ("curves", "curves over rounds"),
            ("selected", "selected rounds"),
            ("learnability", "learnability over time"),
            ("audit", "the sites' audit of the synthetic set"),
            ("synthetic", "the synthetic set"),
            ("bytes", "the byte ledger"),
        ):
            if not self.data.get(key) and ONLY_OF.get(key, self.method) == self.method:
                said.append(f"{what} (record has no '{key}')")
        return said

    def _of_kind(self, key: str, kind: type[Any]) -> Any:
        """Return what is under ``key``, of this kind; empty when it is absent."""
        found = self.data.get(key)
        if found is not None and not isinstance(found, kind):
            raise self._unusable(key)
        return found or kind()

    def _unusable(self, key: str) -> StoreError:
        return StoreError(f"{self.run / RECORD_NAME}, {key}", "is not what a run writes there", FIX)

    def _metrics(self, method: str, site: str, found: Any) -> list[CaseMetrics]:
        """Parse one site's list."""
        try:
            return [CaseMetrics.from_dict(entry) for entry in found]
        except (KeyError, TypeError, ValueError) as error:
            where = f"{self.run / RECORD_NAME}, cases.{method}.{site}"
            raise StoreError(where, f"a test figure is not usable: {error}", FIX) from error


def load_record(run: Path) -> Record:
    """Read RUN/record.json.

    Raises:
        StoreError: the file is missing, is not JSON, or does not name the run's sites.
    """
    path = run / RECORD_NAME
    if not path.is_file():
        raise StoreError(path, "there is no run record", "Give the folder that the job was started with as --out.")
    return parse_record(path.read_bytes(), run)


def parse_record(content: bytes, run: Path) -> Record:
    """Return the record of a run from the content of its record.json, which need not be a file.

    Raises:
        StoreError: it is not JSON, or does not name the run's sites.
    """
    path = run / RECORD_NAME
    try:
        data = parse_json(content, most=OWN_BYTES)
    except ValueError as error:
        raise StoreError(path, f"is not JSON ({error})", FIX) from error
    if not isinstance(data, dict) or not isinstance(data.get("sites"), list):
        raise StoreError(path, "does not name the run's sites", FIX)
    own = data.get("site_names") or {}
    return Record(run, {**with_own_names(data, own), "site_names": own})
