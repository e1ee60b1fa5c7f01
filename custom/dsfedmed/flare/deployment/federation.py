# SPDX-License-Identifier: Apache-2.0
"""What a researcher does with a running federation: submit a job, wait, fetch the results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.job_artifacts import FOLDER
from dsfedmed.store.files import read_json

FINISHED = "FINISHED"
POLL_S = 1.0
STATUS_S = 40.0
"""For one question about the federation's status; asked again when NVFlare's command line hangs."""
NOBODY = "no responses from clients"
"""How NVFlare's command line words a server that is up and has no site yet."""


@dataclass(frozen=True)
class Federation:
    """A federation as one of its users sees it.

    Attributes:
        command: NVFlare's command line.
        user: startup kit of the user who asks.
    """

    command: NVFlareCommand
    user: Path

    def connected(self) -> list[str]:
        """Return the names of the sites that are connected to the server."""
        try:
            status = self._call("system", "status", timeout=STATUS_S)
        except DeploymentError as error:
            if NOBODY in error.reason:
                return []
            raise
        return sorted(str(client["client_name"]) for client in status.get("clients", []))

    def wait_for(self, sites: list[str], timeout: float) -> None:
        """Return when the server answers and all these sites are connected.

        Raises:
            DeploymentError: some are not, with their names.
        """
        deadline, missing, why = time.monotonic() + timeout, sorted(sites), ""
        while time.monotonic() < deadline:
            try:
                missing = sorted(set(sites) - set(self.connected()))
                if not missing:
                    return
            except DeploymentError as error:
                why = f" ({error.reason})"
            time.sleep(POLL_S)
        who = ", ".join(missing) or "server"
        raise DeploymentError(who, f"not connected after {timeout:.0f} s{why}", "Read their log.txt")

    def submit(self, job: Path) -> str:
        """Submit a job folder and return the job's id."""
        return str(self._call("job", "submit", "-j", str(job))["job_id"])

    def meta(self, job_id: str) -> dict[str, Any]:
        """Return what NVFlare knows of a job: its status, and why it was not deployed."""
        return self._call("job", "meta", job_id)

    def status(self, job_id: str) -> str:
        """Return NVFlare's status of a job. It says how the job ended, not how good the run is: read its record."""
        meta = self.meta(job_id)
        return str(meta.get("status") or meta.get("job_status") or "unknown")

    def wait(self, job_id: str, timeout: float, look: Callable[[], None] = lambda: None) -> str:
        """Wait until a job has ended; return its NVFlare status.

        Args:
            job_id: of the job.
            timeout: seconds.
            look: called now and then, to show progress.

        Raises:
            DeploymentError: it still runs.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.status(job_id)
            look()
            if status.startswith(FINISHED):
                return status
            time.sleep(POLL_S)
        raise DeploymentError(job_id, f"has not ended within {timeout:.0f} s", "Wait longer, or `nvflare job abort`")

    def fetch(self, job_id: str, folder: Path) -> Path:
        """Download a job's results into ``folder``; return the folder with the run's report and release.

        Raises:
            DeploymentError: the user may not download it, or the run left nothing to publish.
        """
        answer = self._call("job", "download", job_id, "-o", str(folder), "--force", timeout=600)
        found = sorted(folder.rglob(f"{FOLDER}/record.json"))
        if not found:
            raise DeploymentError(job_id, f"left no results ({answer})", "Read the server's log of the job")
        return found[0].parent

    def shut_down(self) -> None:
        """Stop server and sites; a project administrator may."""
        self._call("system", "shutdown", "all", "--force", timeout=180)

    def _call(self, *arguments: str, timeout: float = 120) -> dict[str, Any]:
        return self.command.call(*arguments, "--startup-kit", str(self.user), timeout=timeout)


def take_results(source: Path, target: Path) -> str:
    """Replace ``target`` by the fetched results; return the run's own verdict."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return str(read_json(target / "record.json")["verdict"])
