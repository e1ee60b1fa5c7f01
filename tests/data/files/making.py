# SPDX-License-Identifier: Apache-2.0
"""Files in their true formats with every tag in the caller's hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def shape_of(seed: int = 0, rows: int = 12, columns: int = 20) -> np.ndarray:
    """(rows, columns) uint8 without any symmetry, that uses 0 and 255."""
    found = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    found[0, 0], found[0, 1] = 0, 255
    return found


def dicom(path: Path, pixels: np.ndarray, **tags: Any) -> Dataset:
    """Write (frames, rows, columns[, 3]) or (rows, columns[, 3]); ``tags`` come last and win."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", SecondaryCaptureImageStorage)
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    frames = pixels.shape[0] if pixels.ndim - colour == 3 else 1
    data.Rows, data.Columns = pixels.shape[-2 - colour : pixels.ndim - colour]
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    if frames > 1:
        data.NumberOfFrames = frames
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return data


def item(**tags: Any) -> Dataset:
    """A sequence's item."""
    found = Dataset()
    for name, value in tags.items():
        setattr(found, name, value)
    return found


def series(folder: Path, volume: np.ndarray, spacing: float = 3.0, **tags: Any) -> list[Path]:
    """Write (slices, rows, columns) as one axial series; file names run against the positions."""
    folder.mkdir(parents=True)
    uid, paths = generate_uid(), []
    for number, plane in enumerate(volume):
        paths.append(folder / f"IM{99 - number:04d}")
        own = {
            "SeriesInstanceUID": uid,
            "ImagePositionPatient": [-10.0, -20.0, 5.0 + number * spacing],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.7],
        }
        dicom(paths[-1], plane, **{**own, **tags})
    return paths


def segmentation(path: Path, frames: np.ndarray, segments: list[int], heights: list[float]) -> None:
    """Write (frames, rows, columns) of bits as a binary segmentation: the segment and height of each frame."""
    groups = [
        item(
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=segment)],
            PlanePositionSequence=[item(ImagePositionPatient=[-10.0, -20.0, height])],
        )
        for segment, height in zip(segments, heights, strict=True)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.7])],
    )
    tags = {"SOPClassUID": SEGMENTATION, "SegmentationType": "BINARY", "NumberOfFrames": len(frames)}
    data = dicom(path, frames.astype(np.uint8), **tags)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], groups
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
    data.save_as(path)


def nifti(path: Path, stored: np.ndarray, affine: np.ndarray | None) -> None:
    """Write voxels as stored; None writes no orientation at all."""
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)


def png(path: Path, displayed: np.ndarray, mode: str | None = None) -> None:
    """Write (rows, columns[, C])."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(displayed, mode).save(path)
