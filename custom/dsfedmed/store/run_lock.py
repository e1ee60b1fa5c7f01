# SPDX-License-Identifier: Apache-2.0
"""One process at a time works on a run folder; a second one is told who does.

The lock is the operating system's own on a file in the run folder: it ends with the process that holds it, however
that ends, so that a dead holder never stands in the way.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from dsfedmed.documents import parse_json
from dsfedmed.errors import StoreError

JOB, SERVER = "job.lock", "server.lock"
"""Files of the two processes that lock a run folder: the one that starts the run, and the one that works in it."""
POLL_SECONDS = 0.1
OTHER = "Wait until it has ended, end it, or choose another --out"


@contextmanager
def run_lock(folder: Path, name: str, patience_s: float = 0.0) -> Iterator[str]:
    """Hold the lock ``name`` of a run folder, which is made where it is not there, for the length of the block.

    Folders that were made for it, those above it too, and that are still empty in the end are removed again.

    Args:
        folder: the run folder.
        name: of the lock's file.
        patience_s: seconds to wait for another holder to end; 0 or more.

    Yields:
        Who held it last and ended without a word, such as "process 7 since ...", and empty where nobody did.

    Raises:
        StoreError: another process holds it (its pid, machine and time are named), or the folder cannot be locked.
    """
    made = _make(folder)
    path = folder / name
    descriptor = _locked(path, time.monotonic() + patience_s)
    try:
        left = os.pread(descriptor, 1000, 0)
        holder = {"pid": os.getpid(), "machine": socket.gethostname(), "since": _now()}
        with suppress(OSError):  # a full disk: the lock holds without a name, and what cannot go on says why
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield _holder(left) if left else ""
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody's newer file is removed
        os.close(descriptor)
        with suppress(OSError):  # not empty: a run has begun
            for each in made:
                each.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make the folder and those above it that are not there; return what was made, the innermost first."""
    try:
        made = [path for path in (folder, *folder.parents) if not path.is_dir()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "Choose another --out, or correct the folder's rights"
        raise StoreError(folder, f"cannot be a run folder ({error.strerror})", fix) from error
    return made


def _locked(path: Path, until: float) -> int:
    """Return the descriptor of the file once this process holds the lock on it; wait for it until that time."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            fix = "Choose another --out, or correct the folder's rights"
            raise StoreError(path.parent, f"cannot be written ({error.strerror})", fix) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            said = os.pread(descriptor, 1000, 0)
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                if time.monotonic() < until:
                    time.sleep(POLL_SECONDS)
                    continue
                raise StoreError(path.parent, f"is in use by {_holder(said)}", OTHER) from error
            reason = f"cannot be locked ({error.strerror}), and two runs at once would spoil each other's files"
            raise StoreError(path.parent, reason, "Choose an --out on a disk that has file locks") from error
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # the holder before removed the file meanwhile


def _is_still(path: Path, descriptor: int) -> bool:
    """Tell whether the locked file is the one that others would find at its path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(said: bytes) -> str:
    """Return in words who holds the lock."""
    try:
        holder = parse_json(said)
        text = f"process {int(holder['pid'])} since {holder['since']}"
        return text if holder["machine"] == socket.gethostname() else f"{text} on {holder['machine']}"
    except (ValueError, KeyError, TypeError):
        return "another process, which is just starting"


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(sep=" ", timespec="seconds")
