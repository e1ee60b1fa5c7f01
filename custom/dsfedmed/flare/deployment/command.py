# SPDX-License-Identifier: Apache-2.0
"""NVFlare's own command line, called for its machine-readable answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsfedmed.errors import DSFedMedError

OUTCOME_WAIT = "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT"
OUTCOME_WAIT_S = 45
"""Seconds the server waits for the last word of a site that died; NVFlare's 900 would keep a finished job running."""


class DeploymentError(DSFedMedError):
    """NVFlare's command line refused, or a party does not do what it was told."""


@dataclass(frozen=True)
class NVFlareCommand:
    """The ``nvflare`` command with a home of its own, since it keeps a registry of startup kits in ``~/.nvflare``.

    Attributes:
        home: what ``HOME`` is for NVFlare and for the parties it starts.
        variables: further environment variables.
    """

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment of NVFlare's processes; ``python3`` in startup scripts is this interpreter."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        own = {"HOME": str(self.home), "PATH": path, OUTCOME_WAIT: str(OUTCOME_WAIT_S)}
        return {"OMP_NUM_THREADS": "1", **os.environ, **own, **self.variables}

    def call(self, *arguments: str, timeout: float = 120) -> dict[str, Any]:
        """Run ``nvflare ARGUMENTS`` and return the ``data`` of its answer.

        Raises:
            DeploymentError: NVFlare refused; with its own reason and hint.
        """
        name = "nvflare " + " ".join(arguments[:2])
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nvflare.cli", "--format", "json", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment(),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeploymentError(
                name, f"gave no answer within {timeout:.0f} s", "Look at the parties' logs"
            ) from error
        answer = _answer(done.stdout)
        if done.returncode != 0 or answer.get("status") != "ok":
            reason = str(answer.get("message") or answer.get("error_code") or _tail(done.stderr or done.stdout))
            detail = answer.get("detail") or (answer.get("data") or {}).get("detail")
            fix = str(answer.get("hint") or "Look at the parties' logs")
            raise DeploymentError(name, f"{reason}: {detail}" if detail else reason, fix)
        data: dict[str, Any] = answer.get("data") or {}
        return data


def _answer(text: str) -> dict[str, Any]:
    """Return NVFlare's JSON envelope, the last line that is one."""
    for line in reversed(text.strip().splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            return answer
    return {}


def _tail(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:]) or "no words"
