# SPDX-License-Identifier: Apache-2.0
"""Small files in their true formats, and small sites made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def write_dicom(path: Path, displayed: np.ndarray, interpretation: str) -> None:
    """Write (rows, columns[, 3]) uint8 or uint16 as an uncompressed DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.Modality = "Doe^Jane", "US"
    data.Rows, data.Columns = displayed.shape[:2]
    data.SamplesPerPixel = 3 if displayed.ndim == 3 else 1
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = interpretation
    data.BitsAllocated = data.BitsStored = displayed.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = displayed.tobytes()
    data.save_as(path, enforce_file_format=True)


def write_image(path: Path, displayed: np.ndarray) -> None:
    """Write (rows, columns[, 3]) in the format that the suffix names; NIfTI is stored in (x, y) order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, displayed)
    elif path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(np.swapaxes(displayed, 0, 1), np.diag([0.5, 0.5, 2.0, 1.0])), path)
    elif path.suffix == ".dcm":
        write_dicom(path, displayed, "RGB" if displayed.ndim == 3 else "MONOCHROME2")
    else:
        Image.fromarray(displayed).save(path)


@pytest.fixture
def grey() -> np.ndarray:
    """(rows 6, columns 10) uint8: no symmetry that could hide a transposition."""
    return np.arange(60, dtype=np.uint8).reshape(6, 10) * 4


MakeSite = Callable[..., Path]


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """Return a maker of sites with PNG images: counts per part, then changes to the datalist."""

    def make(name: str = "site", training: int = 3, validation: int = 2, test: int = 2, **changes: Any) -> Path:
        folder = tmp_path / name
        document: dict[str, Any] = {"name": name, "labels": {"0": "background", "1": "disc", "2": "cup"}}
        rng = np.random.default_rng(0)
        for part, count in (("training", training), ("validation", validation), ("test", test)):
            document[part] = []
            for number in range(count):
                stem = f"{part}{number}"
                label = np.zeros((12, 16), dtype=np.uint8)
                label[2:9, 3:12], label[4:7, 5:9] = 1, 2
                write_image(folder / f"images/{stem}.png", rng.integers(0, 256, (12, 16), dtype=np.uint8))
                write_image(folder / f"labels/{stem}.png", label)
                document[part].append({"image": f"images/{stem}.png", "label": f"labels/{stem}.png", "case": stem})
        document.update(changes)
        (folder / "datalist.json").parent.mkdir(parents=True, exist_ok=True)
        (folder / "datalist.json").write_text(json.dumps(document))
        return folder

    return make


@pytest.fixture
def make_volume(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of a site with one NIfTI volume per part: 4 slices, foreground in slices 1 and 2."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "volumes"
        document: dict[str, Any] = {"labels": {"0": "background", "1": "prostate"}, **changes}
        for part in ("training", "test"):
            image = np.zeros((5, 7, 4), dtype=np.int16)
            image += np.arange(4, dtype=np.int16) * 100
            label = np.zeros((5, 7, 4), dtype=np.uint8)
            label[1:3, 2:5, 1:3] = 1
            write_image(folder / f"{part}.nii.gz", image)
            write_image(folder / f"{part}_label.nii.gz", label)
            document[part] = [{"image": f"{part}.nii.gz", "label": f"{part}_label.nii.gz"}]
        (folder / "datalist.json").write_text(json.dumps(document))
        return folder

    return make
