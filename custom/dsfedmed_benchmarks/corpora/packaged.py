# SPDX-License-Identifier: Apache-2.0
"""The image files that installed packages bring along."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from dsfedmed.data.files.kinds import KIND_OF_SUFFIX, Kind, kind_of, suffix_of

UNNAMED = ("", ".gz", ".hdr", ".img")
"""Other suffixes whose files are looked into: scanners' discs have files without any."""


@dataclass(frozen=True)
class Packaged:
    """One file: its package with version, its name within the package, its path, its format by content or suffix."""

    package: str
    name: str
    path: Path
    kind: str


def packaged_files(also: Sequence[Path] = ()) -> list[Packaged]:
    """Return the image files of all installed packages, and of those in the folders ``also``, in order of names."""
    more = (importlib.metadata.distributions(path=[str(folder)]) for folder in also)
    distributions = chain(importlib.metadata.distributions(), *more)
    files = {file.path: file for found in distributions for file in _images(found)}
    return sorted(files.values(), key=lambda file: (file.package.lower(), file.name))


def _images(found: importlib.metadata.Distribution) -> Iterator[Packaged]:
    package = f"{found.metadata['Name']} {found.version}"
    for file in found.files or ():
        path = Path(str(found.locate_file(file)))
        wanted = suffix_of(path) or path.suffix.lower() in UNNAMED
        if not wanted or ".." in file.parts or "site-packages" in file.parts or not path.is_file():
            continue
        kind: Kind | None = kind_of(path) or KIND_OF_SUFFIX.get(suffix_of(path))
        if kind is not None:
            yield Packaged(package, file.as_posix(), path, kind.value)
