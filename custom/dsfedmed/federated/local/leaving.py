# SPDX-License-Identifier: Apache-2.0
"""A site that leaves after some rounds: what a federation still does for its patients can then be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.party.layout import plain_site
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import Message, error_message, open_request
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import task_named
from dsfedmed.packages import versions
from dsfedmed.site_names import own_name
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.run_version import has_begun


class LeavingSite(LocalSite):
    """Takes part in the first rounds of every training and refuses the later ones; at the end it is scored.

    Args:
        site: the site as it is.
        rounds: how many rounds it takes part in.
    """

    def __init__(self, site: LocalSite, rounds: int) -> None:
        super().__init__(site.name, site.folder, site.worker)
        self.rounds = rounds

    def answer(self, task: str, request: Message, on_progress: ProgressCallback) -> tuple[Message, int]:
        """Do one task, or say that the site has left."""
        try:
            facts = getattr(open_request(task_named(task), request).body, "round", None)
        except DSFedMedError as error:
            return error_message(error, self.name), 0
        if isinstance(facts, RoundFacts) and facts.round > self.rounds:
            fix = "The others go on without it"
            return error_message(DSFedMedError(self.name, f"left after round {self.rounds}", fix), self.name), 0
        return super().answer(task, request, on_progress)


def note_leaving(run: Path, leaving: Mapping[str, int]) -> None:
    """Write into the run's record which sites leave; it is no setting, since no real federation decides it.

    Raises:
        ConfigError: the run has begun with other sites that leave.
    """
    path = run / FILE_NAME
    known = read_json(path) if path.exists() else {"versions": versions()}
    before = known.get("leaving", {})
    if has_begun(run) and before != dict(leaving):
        shown = ", ".join(f"{site}={rounds}" for site, rounds in before.items()) or "no site"
        raise ConfigError(run, f"was begun with {shown} leaving", "Start another run folder (another --out)")
    if leaving:
        write_json(path, {**known, "leaving": dict(leaving)})


def read_leaving(texts: Sequence[str], folders: Mapping[str, str]) -> dict[str, int]:
    """Return after how many rounds which site leaves, from texts of the form ``SITE=ROUND``.

    Args:
        texts: as they stand on the command line.
        folders: the sites' folders by the names that travel.

    Raises:
        ConfigError: a text of another form, or no such site.
    """
    leaving = {}
    for text in texts:
        site, _, number = text.rpartition("=")
        fix = f"Write SITE=ROUND, with a site of {', '.join(map(own_name, folders.values()))}"
        if not number.isdecimal() or not site:
            raise ConfigError("--leave", f"'{text}' names no site and round", fix)
        leaving[plain_site(folders, site, "--leave")] = int(number)
    return leaving
