# SPDX-License-Identifier: Apache-2.0
"""Ends the parties of a POC federation whose command was killed: ``python -m ... WORK MARK``.

The parties are NVFlare's own programs, started in sessions of their own, and know nothing of that command. A process
beside it does: it waits for the command's end, and where the command has not stopped it before, ends every party.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsfedmed.federated.party.launcher import own_mark, wait_for_end
from dsfedmed.flare.deployment.parties import kill_party
from dsfedmed.flare.deployment.poc import SERVER, Poc
from dsfedmed.store.run_lock import run_lock

LOCK = "parties.lock"
"""Held below the federation's folder as long as its parties are guarded, so that none is begun while they still end."""


@contextmanager
def guarded(poc: Poc) -> Iterator[None]:
    """Let no party of a prepared federation outlive this process, if it is killed within the block."""
    command = [sys.executable, "-m", "dsfedmed.flare.deployment.guardian", str(poc.work.resolve()), own_mark()]
    guardian = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        guardian.terminate()
        guardian.wait()


def main(argv: list[str]) -> None:
    """Wait for the end of the process with the mark, then end the parties.

    Args:
        argv: the federation's folder, and the mark of the process.
    """
    poc, mark = Poc(Path(argv[0])), argv[1]
    with run_lock(poc.work, LOCK):
        wait_for_end(mark)
        for name in (SERVER, *poc.sites()):
            kill_party(poc.kit(name))


if __name__ == "__main__":
    main(sys.argv[1:])
