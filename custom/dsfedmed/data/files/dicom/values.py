# SPDX-License-Identifier: Apache-2.0
"""From a DICOM data set's stored numbers to what they mean: PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.4 N.2.

Stored bits, then the modality LUT or rescale, then padding, then the VOI LUT or window, then the sense of brightness.
An identity step leaves numbers and type as they are, so that a file that writes it out equals one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dsfedmed.data.files.dicom.pydicom_functions import (
    IS_3,
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    decoded,
    encapsulated_frames,
)
from dsfedmed.data.files.limits import check_bytes
from dsfedmed.errors import DataError, worded

Window = tuple[float, float]
LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93")
BASELINE_JPEG = "1.2.840.10008.1.2.4.50"
EXTENDED_JPEG = "1.2.840.10008.1.2.4.51"  # of 8 bits, which is decoded, or of 12, which is not
PACKAGES = {
    EXTENDED_JPEG: "`pip install pylibjpeg pylibjpeg-libjpeg`",
    **dict.fromkeys(LOSSLESS_JPEG, "`pip install pylibjpeg pylibjpeg-libjpeg` or `pip install python-gdcm`"),
    **dict.fromkeys(JPEG_LS, "`pip install pyjpegls`"),
    **dict.fromkeys(JPEG_2000, "`pip install pylibjpeg pylibjpeg-openjpeg`"),
}


@dataclass(frozen=True)
class Shown:
    """array: (F, rows, columns, C). window, low_is_white and notes: see `Raw`."""

    array: np.ndarray
    window: Window | None
    notes: tuple[str, ...]
    low_is_white: bool = False


def shown(path: Path, dataset: Dataset, label: bool) -> Shown:
    """Return a data set's frames as they mean.

    Args:
        path: for errors.
        dataset: with pixel data.
        label: keep stored numbers: no modality LUT and no window.

    Raises:
        DataError: naming the file: too large, no pixels, or a codec that is not installed.
    """
    array = stored(path, dataset)
    kind = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR" and not label:
        return Shown(_coloured(array, dataset), None, ())
    if array.shape[-1] > 1 or kind == "PALETTE COLOR":
        return Shown(array, None, ())
    low_is_white = kind == "MONOCHROME1"
    if label:
        return Shown(_turned(array, dataset) if low_is_white else array, None, ())
    padded = _padding(array, dataset)
    array = modality(array, dataset)
    array, window, notes = windowed(array, dataset)
    if padded is not None and padded.any() and not padded.all():
        rest = array[~padded]
        array = np.where(padded, rest.max() if low_is_white else rest.min(), array)
        notes = (*notes, "padding pixels are shown black")
    if kind == "MONOCHROME2" and str(dataset.get("PresentationLUTShape", "")) == "INVERSE":
        notes = (*notes, "it says MONOCHROME2 and that its brightness is inverse; taken as MONOCHROME2")
    return Shown(array, window, notes, low_is_white)


def stored(path: Path, dataset: Dataset) -> np.ndarray:
    """Return the stored numbers (F, rows, columns, C) with unused high bits cleared and the sign extended.

    YBR becomes RGB (PS3.3 C.7.6.3.1.2).

    Raises:
        DataError: naming the file.
    """
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise no_picture(path, dataset)
    frames, rows, columns, samples = check_frames(path, dataset)
    try:
        _say_syntax(dataset)
        _refuse_cut_frames(path, dataset, frames)
        array = decoded(dataset)
    except DataError:
        raise
    except Exception as error:  # pydicom's decoders raise many types, and each plug-in its own
        raise DataError(path, *_undecoded(dataset, error)) from error
    array = array.reshape((frames, rows, columns, samples))
    used, allocated = int(dataset.get("BitsStored", 0) or 0), array.dtype.itemsize * 8
    if array.dtype.kind in "ui" and 0 < used < allocated and samples == 1:
        array = _cleared(array, used, int(dataset.get("HighBit", used - 1)))
    return array


def check_frames(path: Path, dataset: Dataset) -> tuple[int, int, int, int]:
    """Return the stored shape (F, rows, columns, C) as the header says it, before anything goes through the frames.

    Raises:
        DataError: naming the file: it has no rows or columns, or all frames are larger than what is decoded.
    """
    rows, columns = int(dataset.get("Rows", 0) or 0), int(dataset.get("Columns", 0) or 0)
    if min(rows, columns) < 1:
        raise no_picture(path, dataset)
    shape = frame_count(dataset), rows, columns, int(dataset.get("SamplesPerPixel", 1) or 1)
    check_bytes(path, shape, max(1, int(dataset.get("BitsAllocated", 8) or 8) // 8))
    return shape


def no_picture(path: Path, dataset: Dataset) -> DataError:
    """Word the refusal of an object without pixels; of what the file says, only a class that the standard knows."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    uid = str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    name = UID(uid).name  # of one that is not known: itself
    what = name if name != uid else "of no class that the standard knows"
    return DataError(path, f"it holds no picture ({what})", "Take it out.")


def _refuse_cut_frames(path: Path, dataset: Dataset, frames: int) -> None:
    """Refuse JPEG frames without their end mark (ITU-T T.81, B.1.1.3): decoders fill what is missing with grey."""
    if str(dataset.file_meta.TransferSyntaxUID) not in (BASELINE_JPEG, EXTENDED_JPEG):
        return
    for number, frame in enumerate(encapsulated_frames(dataset, frames), start=1):
        if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):  # padded to an even length by either
            reason = f"its frame {number} is cut: the end mark of its JPEG is missing"
            raise DataError(path, reason, "Copy it again or take its item out.")


def _say_syntax(dataset: Dataset) -> None:
    """Complete a data set that was written without file meta information, from how it was parsed."""
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding if IS_3 else (dataset.is_implicit_VR, dataset.is_little_endian)
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def frame_count(dataset: Dataset) -> int:
    """Return the number of frames, 1 where none is written."""
    return max(1, int(dataset.get("NumberOfFrames", 1) or 1))


def modality(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Apply the modality LUT, or rescale slope and intercept, of the data set or of its frames."""
    if dataset.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(array, dataset))
    per_frame = [macro(dataset, number, "PixelValueTransformationSequence") for number in range(len(array))]
    steps = [
        (float(item.get("RescaleSlope", 1)), float(item.get("RescaleIntercept", 0))) if item is not None else None
        for item in per_frame
    ]
    own = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    whole = (float(own[0] if own[0] is not None else 1), float(own[1] if own[1] is not None else 0))
    found = [step or whole for step in steps]
    if all(step == (1.0, 0.0) for step in found):
        return array
    scaled = [frame.astype(np.float64) * slope + offset for frame, (slope, offset) in zip(array, found, strict=True)]
    return np.stack(scaled).astype(np.float32)


def windowed(array: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, Window | None, tuple[str, ...]]:
    """Return numbers and the window that the file shows them with (PS3.3 C.11.2); None where it names none."""
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        bits = int(table.LUTDescriptor[2])
        return np.asarray(apply_voi_lut(array, dataset, index=0)), (0.0, float(2**bits - 1)), ()
    found = {_window(item) for item in _voi_items(dataset, len(array))}
    if not found or None in found:
        return array, None, ()
    if len(found) > 1:
        return array, None, (f"its frames name {len(found)} windows; grey values are scaled by percentiles",)
    centre, width, function = next(item for item in found if item is not None)
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(-4.0 * (array.astype(np.float64) - centre) / width)), (0.0, 1.0), ()
    if function == "LINEAR_EXACT":
        return array, (centre - width / 2, centre + width / 2), ()
    return array, (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2), ()


def _voi_items(dataset: Dataset, frames: int) -> list[Dataset]:
    own = [macro(dataset, number, "FrameVOILUTSequence") for number in range(frames)]
    return [item if item is not None else dataset for item in own]


def _window(item: Dataset) -> tuple[float, float, str] | None:
    centre, width = _first(item.get("WindowCenter")), _first(item.get("WindowWidth"))
    function = str(item.get("VOILUTFunction", "LINEAR") or "LINEAR")
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return centre, width, function


def _first(value: Any) -> float | None:
    """Return the first of several alternative windows; None where there is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, (str, float, int)) and hasattr(value, "__getitem__"):
        value = value[0] if len(value) else None
    return None if value is None else float(value)


def macro(dataset: Dataset, frame: int, name: str) -> Dataset | None:
    """Return a functional group's item of one frame, its own before the shared one (PS3.3 C.7.6.16)."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    own = groups[frame] if groups is not None and frame < len(groups) else None
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for group in (own, shared[0] if shared else None):
        items = group.get(name) if group is not None else None
        if items:
            return Dataset(items[0])
    return None


def _cleared(array: np.ndarray, used: int, high: int) -> np.ndarray:
    """Keep the bits from ``high`` down, ``used`` of them; other bits may hold overlays (PS3.5 8.1.1)."""
    shift = max(0, high + 1 - used)
    signed = array.dtype.kind == "i"
    bits = array.view(np.dtype(f"u{array.dtype.itemsize}"))
    bits = (bits >> shift) & np.array(2**used - 1, dtype=bits.dtype)
    if signed:
        wide = bits.astype(np.int64)
        return np.asarray(np.where(wide >= 2 ** (used - 1), wide - 2**used, wide).astype(array.dtype))
    return np.asarray(bits)


def _padding(array: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Return where pixels are padding (PS3.3 C.7.5.1.1.2): one value, or a range with its limit."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted(_as_stored(int(v), dataset) for v in (value, value if limit is None else limit))
    return (array >= ends[0]) & (array <= ends[1])


def _as_stored(value: int, dataset: Dataset) -> int:
    """Return a padding value with the pixels' sign: it is often written with the other representation."""
    bits = int(dataset.get("BitsAllocated", 16))
    if int(dataset.get("PixelRepresentation", 0)) == 1:
        return value - 2**bits if value >= 2 ** (bits - 1) else value
    return value + 2**bits if value < 0 else value


def _turned(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    top = 2 ** int(dataset.get("BitsStored", 8) or 8) - 1
    return np.asarray((top - array.astype(np.int64)).astype(array.dtype))


def _coloured(array: np.ndarray, dataset: Dataset) -> np.ndarray:
    colours = np.asarray(apply_color_lut(array[..., 0], dataset))
    if colours.dtype != np.uint8:
        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        colours = (colours >> max(0, bits - 8)).astype(np.uint8) if bits > 8 else colours.astype(np.uint8)
    return colours[..., :3]


def _undecoded(dataset: Dataset, error: Exception) -> tuple[str, str]:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    text = worded(error)
    package = PACKAGES.get(str(syntax))
    if str(syntax) == EXTENDED_JPEG and "12-bit" not in text:
        package = None
    missing = "dependencies" in text or "plugin" in text or "decompress" in text
    if package is not None and missing:
        reason = f"it is compressed as {syntax.name}, for which no decoder is installed"  # type: ignore[union-attr]
        return reason, f"Run {package}, or decompress it with `dcmdjpeg`."
    return f"its pixels cannot be decoded ({text})", "Replace the file or take its item out."
