# SPDX-License-Identifier: Apache-2.0
"""Valid DICOM files, and a folder that holds a series."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    SegmentationStorage,
)

from dsfedmed_benchmarks.fuzz.seed import Seed, colours, one_file, pattern

ROOT = "1.2.826.0.1.3680043.8.498"
PLACE: dict[str, Any] = {
    "ImagePositionPatient": [-10.0, -20.0, 5.0],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.5, 0.7],
}


def dicom_seeds() -> list[Seed]:
    """Return the seeds of DICOM."""
    grey, deep = pattern(), pattern().astype(np.uint16) * 16
    files = {
        "implicit": _bytes(_dataset(deep, **PLACE), ImplicitVRLittleEndian),
        "explicit": _bytes(_dataset(deep, WindowCenter=2000, WindowWidth=3000, RescaleSlope=2, RescaleIntercept=-9)),
        "big-endian": _bytes(_dataset(deep.byteswap(), PixelPaddingValue=0), ExplicitVRBigEndian),
        "deflated": _bytes(_dataset(grey), DeflatedExplicitVRLittleEndian),
        "low-is-white": _bytes(_dataset(grey, PhotometricInterpretation="MONOCHROME1", VOILUTFunction="SIGMOID")),
        "rle": _rle(colours()),
        "jpeg": _jpeg(grey),
        "palette": _bytes(_dataset(grey, PhotometricInterpretation="PALETTE COLOR", **_palette())),
        "tables": _bytes(_dataset(deep, **_tables())),
        "frames": _bytes(_enhanced(np.stack([pattern(seed=number) for number in range(3)]))),
        "clip": _bytes(_dataset(np.stack([pattern(seed=number) for number in range(3)]))),
        "segmentation": _bytes(_segmentation(np.stack([grey > 200, grey > 230, grey > 200]))),
        "float": _bytes(_floats(grey / np.float32(255))),
    }
    bare = files["explicit"][132:]
    found = [one_file(f"dicom-{name}", "DICOM", ".dcm", content) for name, content in {**files, "bare": bare}.items()]
    return [*found, _series()]


def _item(**tags: Any) -> Dataset:
    found = Dataset()
    for name, value in tags.items():
        setattr(found, name, value)
    return found


def _dataset(pixels: np.ndarray, **tags: Any) -> FileDataset:
    """Return (frames, rows, columns[, 3]) or (rows, columns[, 3]) as a data set; ``tags`` come last and win."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID(f"{ROOT}.1")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = CTImageStorage, f"{ROOT}.1", f"{ROOT}.2"
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    if pixels.ndim - colour == 3:
        data.NumberOfFrames = pixels.shape[0]
    data.Rows, data.Columns = pixels.shape[-2 - colour : pixels.ndim - colour]
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def _bytes(data: FileDataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    data.file_meta.TransferSyntaxUID = syntax
    data.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _rle(pixels: np.ndarray) -> bytes:
    data = _dataset(pixels)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.compress(RLELossless, generate_instance_uid=False)
    return _bytes(data, RLELossless)


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    data = _dataset(pixels)
    data.PixelData = encapsulate([stream.getvalue()])
    data["PixelData"].is_undefined_length = True
    return _bytes(data, JPEGBaseline8Bit)


def _palette() -> dict[str, Any]:
    table = (np.arange(256, dtype=np.uint16) * 257).tobytes()
    tags: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = table
    return tags


def _tables() -> dict[str, Any]:
    rising, steep = np.arange(4096, dtype=np.uint16), np.arange(4096, dtype=np.uint16) // 16
    modality = _item(LUTDescriptor=[4096, 0, 16], LUTData=rising.tobytes(), ModalityLUTType="US")
    return {
        "ModalityLUTSequence": [modality],
        "VOILUTSequence": [_item(LUTDescriptor=[4096, 0, 8], LUTData=steep.tobytes())],
    }


def _enhanced(frames: np.ndarray) -> FileDataset:
    data = _dataset(frames)
    data.SharedFunctionalGroupsSequence = [_shared()]
    data.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[-10.0, -20.0, 3.0 * number])])
        for number in range(len(frames))
    ]
    return data


def _shared() -> Dataset:
    return _item(
        PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[_item(PixelSpacing=[0.5, 0.7])],
        FrameVOILUTSequence=[_item(WindowCenter=100, WindowWidth=200)],
        PixelValueTransformationSequence=[_item(RescaleSlope=1, RescaleIntercept=-10)],
    )


def _segmentation(masks: np.ndarray) -> FileDataset:
    data = _dataset(masks.astype(np.uint8))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    data.SegmentationType, data.SharedFunctionalGroupsSequence = "BINARY", [_shared()]
    data.PerFrameFunctionalGroupsSequence = [
        _item(
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=segment)],
            PlanePositionSequence=[_item(ImagePositionPatient=[-10.0, -20.0, height])],
        )
        for segment, height in ((1, 5.0), (2, 5.0), (1, 8.0))
    ]
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = np.packbits(masks.ravel(), bitorder="little").tobytes()
    return data


def _floats(pixels: np.ndarray) -> FileDataset:
    data = _dataset(pixels)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.FloatPixelData = pixels.tobytes()
    return data


def _series() -> Seed:
    """Return five slices in a folder, of which one is damaged."""
    files = {}
    for number in range(5):
        place = {**PLACE, "ImagePositionPatient": [-10.0, -20.0, 3.0 * number]}
        slice_ = pattern(seed=number).astype(np.int16) - 100
        own = {"SOPInstanceUID": f"{ROOT}.3.{number}", "WindowCenter": 40, "WindowWidth": 400}
        files[f"series/{number}.dcm"] = _bytes(_dataset(slice_, **place, **own))
    return Seed("dicom-series", "DICOM", files, "series", "series/2.dcm")
