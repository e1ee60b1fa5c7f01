# SPDX-License-Identifier: Apache-2.0
"""The processes of one party on this machine: start them, find them, end them hard.

A party is several processes: NVFlare's restart loop (a shell), the party itself, one process per running job, and that
job's worker. All of them name the startup kit's folder on their command line, which is how they are found here; no
other process is ever touched.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Literal

import psutil

from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand

Kind = Literal["loop", "party", "job", "worker"]
ORDER: tuple[Kind, ...] = ("loop", "party", "job", "worker")
"""The loop first: it would start the party again."""
_MARKS: dict[Kind, tuple[str, ...]] = {
    "loop": ("sub_start.sh",),
    "party": ("client.client_train", "server.server_train"),
    "job": ("client.worker_process", "server.runner_process"),
    "worker": ("dsfedmed.federated.site.worker",),
}
CONSOLE = "console.log"
STOP_S = 60.0


def start_party(kit: Path, command: NVFlareCommand) -> None:
    """Run the kit's ``startup/start.sh``; the party goes on when this process ends.

    Raises:
        DeploymentError: the kit has no start script, or the script failed.
    """
    script = kit / "startup" / "start.sh"
    if not script.exists():
        raise DeploymentError(kit, "holds no startup/start.sh", "Give the startup kit of a server or site")
    with (kit / CONSOLE).open("ab") as console:
        done = subprocess.run(
            ["bash", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=command.environment(),
            start_new_session=True,
            check=False,
        )
    if done.returncode != 0:
        raise DeploymentError(kit, f"start.sh ended with {done.returncode}", f"Read {kit / CONSOLE}")


def stop_party(kit: Path, timeout: float = STOP_S) -> None:
    """Ask a party to end, as ``startup/stop_fl.sh`` does, and wait for it.

    Raises:
        DeploymentError: it still runs.
    """
    (kit / "shutdown.fl").touch()
    _, alive = psutil.wait_procs(party_processes(kit), timeout=timeout)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise DeploymentError(kit, f"processes {numbers} still run after {timeout:.0f} s", "End them by number")


def party_processes(kit: Path, *kinds: Kind) -> list[psutil.Process]:
    """Return the running processes of a party, of these kinds or all, in the order in which to end them."""
    found: list[tuple[int, psutil.Process]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            kind = _kind(process.cmdline(), kit.resolve())
            if kind and (not kinds or kind in kinds):
                found.append((ORDER.index(kind), process))
    return [process for _, process in sorted(found, key=lambda entry: (entry[0], entry[1].pid))]


def kill_party(kit: Path, *kinds: Kind) -> int:
    """Kill a party's processes (or those of some kinds) as a power cut would; return how many there were."""
    processes = party_processes(kit, *kinds)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
    return len(processes)


def _kind(words: list[str], kit: Path) -> Kind | None:
    """Tell what a command line is to the party of this kit; None for a stranger."""
    if not any(word == str(kit) or word.startswith(f"{kit}/") for word in words):
        return None
    line = " ".join(words)
    return next((kind for kind in ORDER if any(mark in line for mark in _MARKS[kind])), None)
