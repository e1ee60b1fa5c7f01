# SPDX-License-Identifier: Apache-2.0
"""Which format a file has, by its first bytes: names lie, and files from a scanner's disc often have no suffix."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from enum import Enum
from pathlib import Path

from dsfedmed.errors import DataError

HEAD = 352  # bytes: the whole NIfTI-1 header and DICOM's mark after the preamble


class Kind(str, Enum):
    """A format that is read."""

    PNG = "PNG"
    JPEG = "JPEG"
    BMP = "BMP"
    GIF = "GIF"
    TIFF = "TIFF"
    NPY = "NPY"
    NIFTI = "NIfTI"
    DICOM = "DICOM"


SUFFIXES_OF = {
    Kind.PNG: (".png",),
    Kind.JPEG: (".jpg", ".jpeg"),
    Kind.TIFF: (".tif", ".tiff"),
    Kind.BMP: (".bmp",),
    Kind.GIF: (".gif",),
    Kind.NPY: (".npy",),
    Kind.NIFTI: (".nii", ".nii.gz", ".hdr"),
    Kind.DICOM: (".dcm", ".dicom", ".ima"),
}
KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in SUFFIXES_OF.items() for suffix in suffixes}
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
SUFFIXES = tuple(KIND_OF_SUFFIX)

_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC = (
    (_PNG, Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"II*\0", Kind.TIFF),
    (b"MM\0*", Kind.TIFF),
    (b"II+\0", Kind.TIFF),
    (b"MM\0+", Kind.TIFF),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"\x93NUMPY", Kind.NPY),
)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_KNOWN_BUT_NOT_READ = (
    (b"NRRD", "NRRD", "Convert it to NIfTI (3D Slicer and SimpleITK write it)."),
    (b"ObjectType", "MetaImage", "Convert it to NIfTI (3D Slicer and SimpleITK write it)."),
    (b"PK\x03\x04", "a ZIP archive", "Unpack it."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it."),
    (b"Rar!", "a RAR archive", "Unpack it."),
    (b"\xfd7zXZ", "an XZ archive", "Unpack it."),
    (b"%PDF", "a PDF", "Export its pictures as PNG."),
    (b"<svg", "an SVG drawing", "Export it as PNG."),
    (b"<?xml", "an XML text", "Export it as PNG."),
    (b"MATLAB", "a MATLAB file", "Save the array as NPY or NIfTI."),
    (b"\x89HDF", "an HDF5 file", "Save the array as NPY or NIfTI."),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", "Convert it to PNG or TIFF."),
    (b"SIMPLE", "FITS", "Convert it to TIFF."),
    (b"<html", "a web page", "Download the image itself, logged in where that is needed."),
    (b"<!doctype html", "a web page", "Download the image itself, logged in where that is needed."),
    (b"version https://git-lfs", "a Git LFS pointer in the place of the file", "Run `git lfs pull`."),
    (b"\xffO\xffQ", "JPEG 2000", "Convert it to PNG or TIFF."),
)

_BOXED = {b"WEBP": "WebP", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"avif": "AVIF"}


def suffix_of(path: Path) -> str:
    """Return the lower-case suffix; ``.nii.gz`` counts as one, and an unknown one (``scan.0001``) as none."""
    name = path.name.lower()
    if name.endswith(".nii.gz"):
        return ".nii.gz"
    return path.suffix.lower() if path.suffix.lower() in KIND_OF_SUFFIX else ""


def stem_of(path: Path) -> str:
    """Return the file name without its (possibly double) suffix; a name with an unknown suffix stays whole."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def kind_of(path: Path) -> Kind | None:
    """Return the format by content; None when it is none that is read.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return _kind(path, file.read(HEAD))


def _kind(path: Path, head: bytes) -> Kind | None:
    if head[128:132] == b"DICM":  # first: the preamble may be the start of a TIFF (PS3.10 7.1)
        return Kind.DICOM
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:2] == b"BM" and len(head) > 14 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return Kind.BMP
    if _is_bare_dicom(head):
        return Kind.DICOM
    if head[:2] == b"\x1f\x8b":
        head = _unpacked_head(path)
    return Kind.NIFTI if _is_nifti(head) else None


def read_kind(path: Path) -> Kind:
    """Return the format of a file by content, and of a folder DICOM: it can only be a series.

    A damaged start leaves the name: the format of its suffix is returned, so that its reader says what is broken.

    Raises:
        DataError: naming the file: it is missing, no file, empty, or of a format that is not read.
    """
    return look_at(path)[0]


def look_at(path: Path, most: int = 0) -> tuple[Kind, bytes]:
    """Return the format as `read_kind` does, and of a PNG of at most ``most`` bytes the whole content, else none."""
    try:
        mode, size = (status := os.stat(path)).st_mode, status.st_size
        if stat.S_ISDIR(mode):
            return Kind.DICOM, b""
        if not stat.S_ISREG(mode):
            raise DataError(path, "it is not a file (a pipe, socket or device)", "Copy the image itself there.")
        with path.open("rb") as file:
            head = file.read(HEAD)
            if size <= most and head.startswith(_PNG) and (kind := _kind(path, head)) is Kind.PNG:
                return kind, head + file.read(size)  # not more: Python makes room for all that is asked for
        kind = _kind(path, head)
    except FileNotFoundError:
        fix = "Put it back or take its item out of datalist.json."
        raise DataError(path, "the file is missing", fix) from None
    except OSError as error:
        raise DataError(
            path, f"it cannot be opened ({error.strerror})", "Give the job the right to read it."
        ) from error
    if kind is not None:
        return kind, b""
    if not head:
        raise DataError(path, "it cannot be read (the file is empty, 0 bytes)", "Copy it again or take its item out.")
    for magic, name, fix in _KNOWN_BUT_NOT_READ:
        if head[: len(magic)].lower() == magic.lower():
            raise DataError(path, f"it is {name}, which is not read", fix)
    boxed = _BOXED.get(head[8:12]) if b"RIFF" in head[:8] or b"ftyp" in head[:8] else None
    if boxed is not None:
        raise DataError(path, f"it is {boxed}, which is not read", "Convert it to PNG.")
    by_name = KIND_OF_SUFFIX.get(suffix_of(path))
    if by_name is None:
        shown = repr(path.suffix) if path.suffix else "no suffix, and content that is not known"
        raise DataError(path, f"unknown image format {shown}", f"Convert it to one of {', '.join(SUFFIXES)}.")
    return by_name, b""


def is_mislabelled(path: Path, kind: Kind) -> bool:
    """Tell a file whose suffix promises another format than its content has."""
    promised = KIND_OF_SUFFIX.get(suffix_of(path))
    return promised is not None and promised is not kind


def is_packed(path: Path) -> bool:
    """Tell a file packed by gzip."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _is_bare_dicom(head: bytes) -> bool:
    """DICOM without preamble (PS3.10 asks for one; old archives leave it out): a first element of group 2 or 8."""
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0") or head[3:4] != b"\0":
        return False
    explicit = head[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA", b"SH", b"LO", b"TM")
    implicit = int.from_bytes(head[4:8], "little") in range(2, 65)
    return explicit or (implicit and head[:2] == b"\x08\0")


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(HEAD)
    except (OSError, EOFError, zlib.error):
        return b""


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")
