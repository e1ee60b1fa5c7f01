# SPDX-License-Identifier: Apache-2.0
"""Atomic files: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dsfedmed import documents
from dsfedmed.errors import StoreError


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            sha.update(piece)
    return sha.hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name``, which must be a plain file name.

    Raises:
        StoreError: the name would lead out of the folder.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise StoreError(
            folder, f"cannot hold a file called {name[:80]!r}", "Use the same version of dsfedmed everywhere"
        )
    return folder / name


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary neighbour of ``path``, flush it to disk, then rename it into place.

    Raises:
        StoreError: the disk is full or the folder cannot be written; what stood there before still stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        reason = "the disk is full" if full else f"cannot be written ({error})"
        fix = "Free space and start the same command again: finished stages are kept"
        raise StoreError(path, reason, fix) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, payload: bytes) -> None:
    """Write bytes, atomically; the error says how many are needed."""
    try:
        write_atomic(path, lambda temporary: temporary.write_bytes(payload))
    except StoreError as error:
        raise StoreError(path, f"{error.reason}; {len(payload)} bytes are needed", error.fix) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file written by `write_json`."""
    try:
        return documents.read_json(path)
    except (OSError, ValueError) as error:
        raise StoreError(path, f"cannot be read ({error})", "Remove the file to compute that part again") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically. They are cloned, since the format refuses tensors that share memory."""
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_atomic(path, lambda temporary: save_file(plain, str(temporary)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; nothing in it can run code."""
    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise StoreError(path, f"cannot be read ({error})", "Remove the file to compute that part again") from error
