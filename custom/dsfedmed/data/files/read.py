# SPDX-License-Identifier: Apache-2.0
"""The way in: any file, or a folder that holds one DICOM series, as `Raw`."""

from __future__ import annotations

import functools
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

from dsfedmed.data.files.dicom.objects import place_dicom, read_dicom
from dsfedmed.data.files.kinds import Kind, is_mislabelled, look_at, read_kind
from dsfedmed.data.files.niftis import place_nifti, read_nifti
from dsfedmed.data.files.numpys import probe_npy, read_npy
from dsfedmed.data.files.pictures import probe_picture, read_picture
from dsfedmed.data.files.plain_png import MOST_BYTES, read_plain_png
from dsfedmed.data.files.raw import Probe, Raw
from dsfedmed.data.files.tiffs import probe_tiff, read_tiff
from dsfedmed.errors import DataError, worded

_PLACELESS = (".png", ".jpg", ".jpeg", ".bmp", ".npy")  # whatever they hold: voxel i of the label is voxel i of it
T = TypeVar("T")
KEPT_BYTES = 512 * 1024**2  # decoded stacks and volumes kept while their slices are asked for one after the other


def read_raw(path: Path, label: bool = False) -> Raw:
    """Read one file.

    Args:
        path: a file of any format in `kinds`, told by its content, or a folder that holds one DICOM series.
        label: read as label: palette indices, bits and opacity are kept instead of becoming colours.

    Raises:
        DataError: naming the file, when it is missing, damaged, too large, of a format that is not read, or odd.
    """
    kind, content = look_at(path, MOST_BYTES)
    raw = read_plain_png(path, content) if content else None
    if raw is None:
        readers: dict[Kind, Callable[[], Raw]] = {
            Kind.TIFF: lambda: read_tiff(path, label),
            Kind.NPY: lambda: read_npy(path),
            Kind.NIFTI: lambda: read_nifti(path),
            Kind.DICOM: lambda: read_dicom(path, label),
        }
        raw = _guarded(path, readers.get(kind, lambda: read_picture(path, label)))
    if kind is not Kind.DICOM and is_mislabelled(path, kind):
        raw = replace(raw, notes=(*raw.notes, f"it is named {path.suffix} and is {kind.value}; read as {kind.value}"))
    return raw


def read_volume(path: Path, label: bool = False) -> Raw:
    """Like :func:`read_raw`, with stacks kept up to ``KEPT_BYTES`` in all, for reading slice after slice.

    A file that was written anew (another time stamp or size) is read again.
    """
    return _kept.get(path, label)


def probe(path: Path) -> Probe:
    """Return size, channels and slices, from the header alone.

    Raises:
        DataError: naming the file, as :func:`read_raw` does.
    """
    kind = read_kind(path)
    probes: dict[Kind, Callable[[Path], Probe]] = {
        Kind.TIFF: probe_tiff,
        Kind.NPY: probe_npy,
        Kind.NIFTI: lambda found: _probed(place_nifti(found)),
        Kind.DICOM: lambda found: _probed(place_dicom(found)),
    }
    return _guarded(path, functools.partial(probes.get(kind, probe_picture), path))


def place_of(path: Path) -> Raw | None:
    """Return where a file's voxels lie, its numbers left unread (``array`` has no channel); None of plain pictures.

    Raises:
        DataError: naming the file, as :func:`read_raw` does.
    """
    if path.suffix.lower() in _PLACELESS:
        return None
    kind = read_kind(path)
    places: dict[Kind, Callable[[Path], Raw]] = {Kind.NIFTI: place_nifti, Kind.DICOM: place_dicom}
    return _guarded(path, functools.partial(places[kind], path)) if kind in places else None


def _guarded(path: Path, read: Callable[[], T]) -> T:
    """Give whatever a decoder raises the file's name."""
    try:
        return read()
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            path, "there is not enough memory to decode it", "Free memory, or export it smaller."
        ) from error
    # Decoders raise whatever they like on damaged files (OSError, SyntaxError, struct.error, their own types).
    except Exception as error:
        raise DataError(
            path, f"it cannot be read ({worded(error)})", "Replace the file or take its item out."
        ) from error


def _probed(place: Raw) -> Probe:
    return Probe(place.size, place.told_channels, place.slices)


class _Kept:
    """Decoded stacks by path, time stamp and size, the longest unused dropped first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._found: OrderedDict[tuple[Path, bool, tuple[int, ...]], Raw] = OrderedDict()

    def get(self, path: Path, label: bool) -> Raw:
        key = (path, label, state_of(path))
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        raw = read_raw(path, label)
        if raw.volume:
            with self._lock:
                self._found[key] = raw
                while len(self._found) > 1 and sum(kept.array.nbytes for kept in self._found.values()) > self._limit:
                    self._found.popitem(last=False)
        return raw


def state_of(path: Path) -> tuple[int, ...]:
    """Return time stamps and sizes of a file, or of all files of a folder; empty when there is none."""
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            return found.st_mtime_ns, found.st_size
    except OSError:
        return ()
    stats = [file.stat() for file in sorted(path.iterdir()) if file.exists()]
    return tuple(number for one in stats for number in (one.st_mtime_ns, one.st_size))


_kept = _Kept(KEPT_BYTES)
