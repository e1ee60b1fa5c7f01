# SPDX-License-Identifier: Apache-2.0
"""Many small files as one compressed archive, read in memory and not unpacked to disk; equal files, equal bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from dsfedmed.errors import StoreError
from dsfedmed.store.files import write_bytes

SUFFIX = ".tar.gz"


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the content of every file in the archive by its path there.

    Raises:
        StoreError: the archive cannot be read, or holds anything but plain files.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    raise StoreError(path, f"'{member.name}' is not a plain file", "Restore the archive from git")
                files[member.name] = stream.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise StoreError(path, f"cannot be read ({error})", "Restore the archive from git") from error
    return files


def write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the files sorted by path, without times, owners or the archive's own name; whole or not at all."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # mtime, uid and gid are 0, owner names empty
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    write_bytes(path, packed.getvalue())
