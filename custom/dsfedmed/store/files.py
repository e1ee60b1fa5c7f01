# SPDX-License-Identifier: Apache-2.0
"""Atomic files: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dsfedmed import documents
from dsfedmed.errors import StoreError

HASH = "sha256"
REMOVE = "Remove the file to compute that part again"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Raises:
        OSError: it cannot be opened, or is a pipe, socket or device, which would be waited for or never ends.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file but a pipe, socket, device or folder", str(path))
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
        return documents.read_json(path, documents.OWN_BYTES)
    except (OSError, ValueError) as error:
        raise StoreError(path, f"cannot be read ({error})", REMOVE) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], travels: bool = False) -> None:
    """Write tensors as safetensors, atomically, with a hash of them.

    They are cloned, since the format refuses tensors that share memory.

    Args:
        path: the file; where it is read again it has to have that name, so that exchanged files are found.
        tensors: by name.
        travels: the file is for others, who may call it as they like.
    """
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    said = {HASH: _tensors_sha256("" if travels else path.name, plain)}  # of several keys the order would not be fixed
    write_atomic(path, lambda temporary: save_file(plain, str(temporary), said))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; nothing in it can run code.

    Raises:
        StoreError: it cannot be read, or `write_tensors` wrote other content, or wrote it under another name.
    """
    try:
        if path.is_fifo():
            raise OSError("it is a pipe")
        with safe_open(str(path), "pt") as file:
            said = (file.metadata() or {}).get(HASH)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise StoreError(path, f"cannot be read ({error})", REMOVE) from error
    if said is not None and said not in (_tensors_sha256(name, tensors) for name in (path.name, "")):
        raise StoreError(path, "does not match the hash it was written with", REMOVE)
    return tensors


def _tensors_sha256(name: str, tensors: Mapping[str, Tensor]) -> str:
    sha = hashlib.sha256(name.encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        sha.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
