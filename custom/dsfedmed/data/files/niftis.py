# SPDX-License-Identifier: Apache-2.0
"""NIfTI-1 and -2, through nibabel: 2D, volumes, several channels or colours a voxel."""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
from nibabel import imageglobals

from dsfedmed.data.files.geometry import stand
from dsfedmed.data.files.kinds import SUFFIXES_OF, Kind, is_packed, suffix_of
from dsfedmed.data.files.limits import MAX_CHANNELS, check_bytes
from dsfedmed.data.files.raw import Raw
from dsfedmed.errors import DataError, worded

SAME_PLACE = 0.5  # voxels: rounding of a qform is less
MAX_HEADER_EXTENT = 64 * 1024**2  # bytes between header and voxels; extensions of this size are no extensions


def place_nifti(path: Path) -> Raw:
    """Return what `read_nifti` will return with the numbers left unread (C is 0), from the header."""
    header = _opened(path)
    shape, channels = _shape(path, header)
    empty = np.empty((*shape, 0), dtype=np.uint8)
    if not _has_place(header):
        empty, frame, read = _unplaced(empty), None, np.eye(4)
    else:
        empty, frame, read = stand(empty, _affine(path, header))
    volume = empty.shape[2] > 1
    return Raw(path, empty if volume else empty[:, :, 0], read, volume, frame=frame, told_channels=channels)


def read_nifti(path: Path) -> Raw:
    """Read a NIfTI file in the standard orientation of `geometry`.

    Axes of length one are dropped wherever they stand. RGB voxels become three channels; a fourth axis of up to 16 is
    taken as channels.

    Raises:
        DataError: naming the file: larger than the limit, more than 16 volumes, complex numbers, no dimension left.
    """
    header = _opened(path)
    shape, channels = _shape(path, header)
    notes = _two_places(header)
    if channels > 1 and not header.get_data_dtype().names:
        notes = (*notes, f"its {channels} volumes are taken as channels")
    array = np.asanyarray(_whole(path, header).dataobj)
    if array.dtype.names:
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
        array = array[..., :3].reshape((*shape, 3))
    else:
        array = array.reshape((*shape, channels))
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    if not _has_place(header):
        array = _unplaced(array)
        stack = array.shape[2] > 1
        notes = (*notes, *(("it says nothing of orientation (qform and sform codes are 0); taken as stored",) * stack))
        return Raw(path, array if stack else array[:, :, 0], np.eye(4), volume=stack, notes=notes)
    array, frame, read = stand(array, _affine(path, header))
    volume = array.shape[2] > 1
    return Raw(path, array if volume else array[:, :, 0], read, volume, frame=frame, notes=notes)


def _opened(path: Path) -> Any:
    try:
        with _quiet():
            image: Any = nibabel.load(path) if _is_named_right(path) else _unnamed(path)
    except Exception as error:  # nibabel hands on what zlib, struct and its own readers raise on damaged files
        raise DataError(
            path, f"it cannot be read ({worded(error)})", "Replace the file or take its item out."
        ) from error
    if not isinstance(image, (nibabel.Nifti1Pair, nibabel.Nifti2Pair)):
        reason = f"it is {type(image).__name__}, which does not say where left and right are"
        raise DataError(path, reason, "Convert it to NIfTI with its orientation.")
    proxy: Any = image.dataobj
    if int(proxy.offset) > MAX_HEADER_EXTENT:
        raise DataError(path, "its voxels are said to begin far behind its end", "Replace the file.")
    return image


def _is_named_right(path: Path) -> bool:
    """Whether the name says what nibabel goes by: NIfTI, and packed or not."""
    suffix = suffix_of(path)
    return suffix in SUFFIXES_OF[Kind.NIFTI] and (suffix == ".hdr" or is_packed(path) == (suffix == ".nii.gz"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what nibabel says of headers that it corrects, such as a spacing of 0, on a line without the file."""
    before = imageglobals.logger.level
    imageglobals.logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        imageglobals.logger.setLevel(before)


def _whole(path: Path, image: Any) -> Any:
    """Return an image with its voxels, no more of the file than the header announces.

    What is packed is unpacked to the end of the file, where gzip keeps the check sum.
    """
    if _is_named_right(path) and not is_packed(path):
        return image
    proxy: Any = image.dataobj
    need = int(proxy.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    try:
        with _unpacking(path) as file:
            content = file.read(need)
            rest = 0
            while rest <= MAX_HEADER_EXTENT and (block := len(file.read(1 << 20))):
                rest += block
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"it is damaged ({error})", "Copy it again or take its item out.") from error
    with _quiet():
        return type(image).from_bytes(content)


def _two_places(image: Any) -> tuple[str, ...]:
    """Say when qform and sform are both there and differ: programs disagree which one counts."""
    if int(image.header["qform_code"]) <= 0 or int(image.header["sform_code"]) <= 0:
        return ()
    qform, sform = (np.asarray(form, dtype=np.float64) for form in (image.get_qform(), image.get_sform()))
    box = np.array([*image.shape[:3], 1, 1][:3]) - 1.0
    corners = np.array([[x, y, z, 1.0] for x in (0, box[0]) for y in (0, box[1]) for z in (0, box[2])]).T
    spacing = np.sqrt((sform[:3, :3] ** 2).sum(axis=0)).min()
    if np.abs((qform - sform) @ corners).max() <= SAME_PLACE * spacing:
        return ()
    return ("its qform and sform name two places; the sform is taken",)


def _unnamed(path: Path) -> Any:
    """Open a file that nibabel does not know by its name; the voxels are left unread."""
    with _unpacking(path) as file:
        head = file.read(MAX_HEADER_EXTENT)
    kind = nibabel.Nifti2Image if head[4:7] == b"n+2" else nibabel.Nifti1Image
    return kind.from_bytes(head)


def _unpacking(path: Path) -> BinaryIO:
    """Open a file, packed or not, at the start of its content."""
    return cast("BinaryIO", gzip.open(path, "rb")) if is_packed(path) else path.open("rb")


def _shape(path: Path, image: Any) -> tuple[tuple[int, int, int], int]:
    """Return (x, y, z) as stored, one-voxel axes before the last three dropped, and the channels."""
    shape = [int(n) for n in image.shape]
    kind = image.get_data_dtype()
    if kind.kind not in "buif" and not kind.names:
        raise DataError(path, f"its values are {kind}", "Save magnitudes as whole numbers or floats.")
    if 0 in shape or len(shape) < 2:
        raise DataError(path, f"its shape {tuple(shape)} holds no picture", "Export it again.")
    more = [n for n in shape[3:] if n > 1]
    channels = int(np.prod(more, dtype=np.int64)) if more else 1
    if len(more) > 1 or channels > MAX_CHANNELS:
        reason = f"its shape {tuple(shape)} holds {channels} volumes"
        raise DataError(path, reason, f"Save each time point apart; up to {MAX_CHANNELS} are read as channels.")
    if kind.names:
        if channels > 1:
            raise DataError(path, f"its shape {tuple(shape)} holds {channels} colour volumes", "Save each apart.")
        channels = min(len(kind.names), 3)
    check_bytes(path, (*shape, len(kind.names) if kind.names else 1), max(kind.itemsize, 4))
    x, y, z = [*shape[:3], 1, 1][:3]
    return (x, y, z), channels


def _affine(path: Path, image: Any) -> np.ndarray:
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError(path, "its affine is not a usable frame", "Export it again with its orientation.")
    return affine


def _unplaced(array: np.ndarray) -> np.ndarray:
    """Put an axis of one voxel last, where the file does not say where its axes run."""
    single = [axis for axis in range(3) if array.shape[axis] == 1]
    return array if not single or 2 in single else np.moveaxis(array, single[-1], 2)


def _has_place(image: Any) -> bool:
    """Whether the header says where the voxels lie (NIfTI-1: a form code of 0 says nothing)."""
    header = image.header
    return int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0
