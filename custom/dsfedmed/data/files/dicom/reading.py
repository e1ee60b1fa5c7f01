# SPDX-License-Identifier: Apache-2.0
"""The one place where DICOM files are opened: within limits that are judged before pydicom makes anything of them.

pydicom reads a file whole, and unpacks one that is deflated whole (PS3.5 A.5), which four megabytes can turn into four
gigabytes.
"""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset

from dsfedmed.data.files.dicom.pydicom_functions import transfer_syntax
from dsfedmed.data.files.limits import MAX_BYTES
from dsfedmed.errors import DataError, worded

DEFLATED = "1.2.840.10008.1.2.1.99"
MOST_HEADER_BYTES = 64 * 1024**2  # beside the pixels
MOST_UNPACKED = 512 * 1024**2  # of a deflated file
PIECE = 1 << 16


def read_dataset(path: Path, header_only: bool = False, tags: list[str] | None = None) -> Dataset:
    """Return a file's data set.

    Args:
        path: the file.
        header_only: leave the pixels unread.
        tags: names of the elements that are wanted; all without.

    Raises:
        DataError: naming the file: damaged, or larger than what is decoded.
    """
    try:
        _require_moderate(path)
        with warnings.catch_warnings():  # values against the standard are common and said by what uses them
            warnings.simplefilter("ignore")
            more: dict[str, Any] = {} if tags is None else {"specific_tags": tags}
            return pydicom.dcmread(path, stop_before_pixels=header_only, force=True, **more)
    except DataError:
        raise
    except Exception as error:  # pydicom hands on what struct, zlib and its value classes raise on damaged files
        raise DataError(
            path, f"it cannot be read ({worded(error)})", "Replace the file or take its item out."
        ) from error


def _require_moderate(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_BYTES + MOST_HEADER_BYTES:
        reason = f"it has {size / 1024**3:.1f} GiB (at most {MAX_BYTES / 1024**3:.0f} GiB are read)"
        raise DataError(path, reason, "Export it in parts.")
    with path.open("rb") as file:
        if transfer_syntax(file) == DEFLATED and _unpacks_to_more(file, MOST_UNPACKED):
            reason = f"it is deflated, and unpacks to more than {MOST_UNPACKED // 1024**2} MiB"
            raise DataError(path, reason, "Export it without deflation, such as by `dcmconv +te`.")


def _unpacks_to_more(file: BinaryIO, most: int) -> bool:
    """Tell whether what follows in a deflated file is longer than ``most`` bytes; nothing of it is kept."""
    unpacker, found = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while rest := file.read(PIECE):
        while rest:
            found += len(unpacker.decompress(rest, 16 * PIECE))
            if found > most:
                return True
            rest = unpacker.unconsumed_tail
    return False
