# SPDX-License-Identifier: Apache-2.0
"""One picture or label file, of any supported format, as an array in MONAI's axis order.

MONAI's own readers do the work; this file settles what they leave open: where the channels are, which axis is the
slice, how palettes, alpha, MONOCHROME1 and NPY axis order are meant. Patient data of DICOM headers is not kept.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import NibabelReader, NumpyReader, PILReader, PydicomReader
from PIL import Image

from dsfedmed.errors import DataError
from dsfedmed.ranges import MOST_CHANNELS

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SUFFIXES = (*PICTURES, ".npy", ".nii", ".nii.gz", ".dcm")
# A volume's label (or image) is read once while its slices are asked for one after the other: image and label of
# the volume at hand and of the one before.
VOLUMES_KEPT = 4
PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Raw:
    """A file's content. ``array`` is (X, Y, C), or (X, Y, Z) when ``volume``; ``affine`` is 4 x 4."""

    path: Path
    array: np.ndarray
    affine: np.ndarray
    volume: bool

    @functools.cached_property
    def window(self) -> tuple[float, float]:
        """The (low, high) that become 0 and 1: (0, 255) for 8 bit, (0, 1) for bits, else percentiles 0.5 and 99.5.

        Raises:
            DataError: when a value is not finite.
        """
        if self.array.dtype == np.uint8:
            return 0.0, 255.0
        if self.array.dtype == np.bool_:
            return 0.0, 1.0
        if not np.isfinite(self.array).all():
            raise DataError(
                self.path, "it holds values that are not finite", "Export it again without NaN and infinity."
            )
        low, high = np.percentile(self.array.astype(np.float32), PERCENTILES)
        return float(low), float(high)


@dataclass(frozen=True)
class Probe:
    """What the header says: size (x, y), channels (1 to 16) and slices (None for a flat image)."""

    size: tuple[int, int]
    channels: int
    slices: int | None


def suffix_of(path: Path) -> str:
    """Return the lower-case suffix; ``.nii.gz`` counts as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def stem_of(path: Path) -> str:
    """Return the file name without its (possibly double) suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def read_raw(path: Path, label: bool = False) -> Raw:
    """Read one file.

    Args:
        path: a file with one of ``SUFFIXES``.
        label: read as label map: palette indices and bits are kept as values instead of becoming colours.

    Raises:
        DataError: naming the file, when it is missing, unreadable, of an unknown format or of an odd shape.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise DataError(path, f"unknown image format {suffix!r}", f"Convert it to one of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(path, "the file is missing", "Put it back or take its item out of datalist.json.")
    try:
        if suffix in PICTURES:
            return _read_picture(path, label)
        if suffix == ".npy":
            return _read_npy(path)
        return _read_dicom(path) if suffix == ".dcm" else _read_nifti(path)
    except DataError:
        raise
    # Decoders raise whatever they like on damaged files (OSError, SyntaxError, struct.error, their own types).
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"it cannot be read ({reason})", "Replace the file or take its item out.") from error


def read_volume(path: Path, label: bool = False) -> Raw:
    """Like :func:`read_raw`, with the last few volumes kept, for reading slice after slice."""
    if not path.is_file():
        return read_raw(path, label)
    status = path.stat()
    return _read_kept(path, label, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=VOLUMES_KEPT)
def _read_kept(path: Path, label: bool, modified_ns: int, size: int) -> Raw:
    del modified_ns, size  # part of the key only: a changed file is read again
    return read_raw(path, label)


def probe(path: Path) -> Probe:
    """Return size, channels and slices, from the header alone where the format has one.

    Raises:
        DataError: naming the file, as :func:`read_raw` does.
    """
    if suffix_of(path) in (".nii", ".nii.gz") and path.is_file():
        shape = _nifti_shape(path)
        return Probe((shape[0], shape[1]), 1, shape[2] if len(shape) == 3 else None)
    if suffix_of(path) in PICTURES and path.is_file():
        try:
            with Image.open(path) as picture:
                grey = picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
                return Probe(picture.size, 1 if grey else 3, None)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(path, f"it cannot be read ({error})", "Replace the file or take its item out.") from error
    array = read_raw(path).array
    return Probe((array.shape[0], array.shape[1]), array.shape[2], None)


def _flat(path: Path, array: np.ndarray, affine: Any = None, most: int = 0) -> Raw:
    """Bring a flat image to (X, Y, C): C 1 or 3 and alpha dropped, or as it is where up to ``most`` are channels."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not 1 <= array.shape[2] <= max(4, most) or 0 in array.shape:
        raise DataError(
            path, f"its shape {array.shape} is no flat image", "Use (x, y) or (x, y, 3); volumes belong in NIfTI."
        )
    if not most and array.shape[2] in (2, 4):
        array = array[..., :-1]
    return Raw(path, array, np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64), volume=False)


def _read_picture(path: Path, label: bool) -> Raw:
    def convert(picture: Image.Image) -> Image.Image:
        if label or picture.mode in ("1", "L", "LA", "RGB", "RGBA", "F") or picture.mode.startswith("I"):
            return picture
        return picture.convert("RGB")

    reader = PILReader(converter=convert)
    picture = reader.read(path)
    try:
        array, _ = reader.get_data(picture)
    finally:
        picture.close()
    return _flat(path, array)


def _read_npy(path: Path) -> Raw:
    """NPY holds pictures as (H, W) or (H, W, C), as the authors' release writes them; C is 1 to 16. MONAI: (x, y)."""
    array, _ = NumpyReader(allow_pickle=False).get_data(NumpyReader(allow_pickle=False).read(path))
    if array.ndim not in (2, 3):
        raise DataError(path, f"its shape {array.shape} is no flat image", "Save it as (H, W) or (H, W, 3).")
    return _flat(path, np.swapaxes(array, 0, 1), most=MOST_CHANNELS)


def _nifti_shape(path: Path) -> tuple[int, ...]:
    import nibabel

    try:
        header: Any = nibabel.load(path)
        shape = tuple(int(n) for n in header.shape)
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise DataError(path, f"it cannot be read ({error})", "Replace the file or take its item out.") from error
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(path, f"its shape {shape} is neither 2D nor 3D", "Save each channel or time point apart.")
    return shape


def _read_nifti(path: Path) -> Raw:
    shape = _nifti_shape(path)
    reader = NibabelReader()
    array, meta = reader.get_data(reader.read(path))
    array = array.reshape(shape)
    affine = np.asarray(meta["affine"], dtype=np.float64)
    return Raw(path, array, affine, volume=True) if len(shape) == 3 else _flat(path, array, affine)


def _read_dicom(path: Path) -> Raw:
    reader = PydicomReader()
    content = reader.read(path)
    header = content[0] if isinstance(content, (list, tuple)) else content
    if int(getattr(header, "NumberOfFrames", 1) or 1) > 1:
        raise DataError(path, "it holds several frames", "Export the frames singly, or as a NIfTI volume.")
    with warnings.catch_warnings():  # ultrasound and photographs have no patient orientation: the identity is right
        warnings.filterwarnings("ignore", message="PydicomReader: ImageOrientationPatient")
        array, meta = reader.get_data(content)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if getattr(header, "PhotometricInterpretation", "") == "MONOCHROME1":
        array = array.max() - array if array.dtype != np.uint8 else 255 - array
    return _flat(path, array, meta["affine"])
