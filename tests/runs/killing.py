# SPDX-License-Identifier: Apache-2.0
"""Start a command and kill it, with everything it started, in the middle of its rounds."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.store.files import read_json
from tests.runs.commands import ALONE

PATIENCE_S = 300


def start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        command, start_new_session=True, env=ALONE, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_in_round(process: subprocess.Popen[bytes], run: Path, number: int, training: str) -> None:
    """Kill the whole process group as soon as the run's store holds that round of a training run."""
    state = run / "store" / f"training-{training}.json"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if state.exists() and read_json(state)["info"]["round"] >= number:
            break
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
