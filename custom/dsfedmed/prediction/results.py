# SPDX-License-Identifier: Apache-2.0
"""The files that are written for one image, and what may lie in their folder before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from dsfedmed.bundles.saving import write_picture
from dsfedmed.bundles.volumes import write_nifti
from dsfedmed.documents import read_json
from dsfedmed.errors import ConfigError, DSFedMedError, StoreError, one_line, without_paths
from dsfedmed.prediction.assembling import Prediction
from dsfedmed.store.files import write_text

RECORD = "prediction.json"
"""Says what the folder was made with; a folder without it is somebody else's."""
FAILURES = "not_done.txt"
FIX = "Choose another --out, or remove that folder."


def open_results(folder: Path, sha256: str) -> None:
    """See that results may be written to a folder: it is new, empty, or holds earlier results of the same model.

    Earlier results stay, but for those of images that are done again.

    Args:
        folder: the folder of results; made where it is missing.
        sha256: what tells the model (`model.SegmentationBundle.sha256`).

    Raises:
        ConfigError: it is a file, or holds something else.
        StoreError: it cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(folder, "it is a file", "Name a folder for --out.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / RECORD).is_file():
            raise ConfigError(folder, "it holds other things", FIX)
        if _model_of(folder / RECORD) != sha256:
            raise ConfigError(folder, "it holds the masks of another model", FIX)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(folder, f"it cannot be made ({error.strerror})", "Choose another --out.") from error
    write_record(folder, {"model_sha256": sha256, "finished": False})


def write_record(folder: Path, record: dict[str, object]) -> None:
    """Write the folder's record: plain data, without a path of this machine."""
    write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def write_failures(folder: Path, failed: Sequence[tuple[str, DSFedMedError]]) -> None:
    """Write which images were not done and why, one a line, or remove an earlier list where all were done."""
    path = folder / FAILURES
    if failed:
        lines = (f"{one_line(shown)}: {without_paths(error.reason)}. {error.fix}\n" for shown, error in failed)
        write_text(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def write_masks(folder: Path, name: PurePosixPath, found: Prediction) -> Iterator[Path]:
    """Write an image's mask, and its probabilities where they are there; yield the files.

    Flat pictures: ``NAME_mask.png`` with the label values as grey values, and a 32-bit TIFF a class
    (``NAME_probability_1.tif``). NIfTI, series and stacks: ``.nii.gz`` with the image's affine.

    Raises:
        StoreError: a file cannot be written.
    """
    whole = found.affine is not None
    yield _write(folder / f"{name}_mask{'.nii.gz' if whole else '.png'}", found.mask, found.affine)
    for label, plane in enumerate(found.probabilities if found.probabilities is not None else (), start=1):
        yield _write(folder / f"{name}_probability_{label}{'.nii.gz' if whole else '.tif'}", plane, found.affine)


def _write(path: Path, values: np.ndarray, affine: np.ndarray | None) -> Path:
    if affine is None:
        write_picture(path, values)
    else:
        write_nifti(path, values, affine)
    return path


def _model_of(record: Path) -> object:
    try:
        found = read_json(record)
    except (OSError, ValueError) as error:
        raise ConfigError(record, f"cannot be read ({error})", FIX) from error
    return found.get("model_sha256") if isinstance(found, dict) else None
