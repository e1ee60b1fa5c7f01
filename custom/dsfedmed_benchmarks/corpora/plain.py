# SPDX-License-Identifier: Apache-2.0
"""How a format's own library reads a file, without any of our code, and whether our reading shows the same.

Pictures are compared by correlation, pixel by pixel, so that a turned, inverted or differently windowed picture is
noticed and a gentle difference of scale is not; volumes by the values at places in millimetres.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from PIL import Image, ImageOps
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from dsfedmed.data.files.kinds import Kind
from dsfedmed.data.files.raw import Raw

ALIKE = 0.98
"""Least correlation of two readings of one picture."""
POINTS = 500


def likeness(raw: Raw, planes: dict[int, np.ndarray], kind: str) -> float | None:
    """Return how alike our reading and the plain one are, -1 to 1; None where there is no plain reading.

    Args:
        raw: as `read_raw` gives it.
        planes: slices in [0, 1], (X, Y, C), by number; number 0 of a flat picture.
        kind: the format's name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == Kind.NIFTI.value:
            return _at_places(raw)
        if kind == Kind.NPY.value:
            return _correlation(np.load(raw.path), np.swapaxes(raw.array, 0, 1))
        plain = _dicom_plane(raw.path) if kind == Kind.DICOM.value else _picture_plane(raw.path)
    if plain is None or raw.full_size is not None:
        return None
    shown = planes[0].swapaxes(0, 1)
    if raw.volume and kind == Kind.DICOM.value and raw.frame is not None:
        return None  # turned into the standard orientation, where the first slice need not be the first frame
    return _correlation(_same_channels(plain, shown.shape[-1]), shown)


def _same_channels(plain: np.ndarray, channels: int) -> np.ndarray:
    plain = plain[..., None] if plain.ndim == 2 else plain
    return np.repeat(plain, channels, axis=-1) if plain.shape[-1] == 1 else plain


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two arrays of one size, -1 where the sizes differ, 1 where both are constant."""
    if one.size != other.size or one.shape[:2] != other.shape[:2]:
        return -1.0
    first, second = (np.ravel(array).astype(np.float64) for array in (one, other))
    if first.std() < 1e-9 or second.std() < 1e-9:
        return 1.0 if first.std() < 1e-9 and second.std() < 1e-9 else 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _picture_plane(path: Path) -> np.ndarray | None:
    """Return Pillow's picture, upright, over black where it is transparent; None where Pillow has no plain one."""
    try:
        with Image.open(path) as picture:
            shown = ImageOps.exif_transpose(picture)
            if shown.mode in ("RGBA", "LA", "PA") or "transparency" in shown.info:
                whole = shown.convert("RGBA")
                laid = Image.alpha_composite(Image.new("RGBA", whole.size, "black"), whole).convert("RGB")
                return np.asarray(laid if laid.getbbox() is not None else whole.getchannel("A"))
            if shown.mode in ("P", "CMYK", "YCbCr"):
                shown = shown.convert("RGB")
            return np.asarray(shown) if shown.mode in ("1", "L", "RGB", "I", "F", "I;16", "I;16B") else None
    except OSError:
        return None


def _dicom_plane(path: Path) -> np.ndarray | None:
    """Return pydicom's first frame with its tables, window and sense of brightness."""
    dataset: Any = pydicom.dcmread(path, force=True)
    array = dataset.pixel_array
    kind = str(dataset.get("PhotometricInterpretation", ""))
    frame = array[0] if int(dataset.get("NumberOfFrames", 1) or 1) > 1 else array
    if kind == "PALETTE COLOR":
        return np.asarray(apply_color_lut(frame, dataset)).astype(np.float64)
    if frame.ndim == 3:
        return np.asarray(frame)
    shown = np.asarray(apply_voi_lut(apply_modality_lut(frame, dataset), dataset), dtype=np.float64)
    return -shown if kind == "MONOCHROME1" else shown


def _at_places(raw: Raw) -> float | None:
    """Return the correlation of our values and nibabel's at places drawn among our voxels."""
    image: Any = nibabel.load(raw.path)
    if raw.frame is None or image.get_data_dtype().names:
        return None
    array = raw.array if raw.volume else raw.array[:, :, None]
    found = np.random.default_rng(0).integers(0, array.shape[:3], (POINTS, 3))
    place = np.linalg.inv(image.affine) @ raw.affine @ np.vstack([found.T, np.ones(POINTS)])
    x, y, z = np.rint(place[:3]).astype(int)
    data = np.asarray(image.dataobj)
    data = data.reshape((*(*data.shape, 1, 1, 1)[:3], -1))[..., 0]
    if (np.array([x, y, z]).min(axis=1) < 0).any():
        return -1.0
    return _correlation(data[x, y, z, None], array[found[:, 0], found[:, 1], found[:, 2], 0][:, None])
