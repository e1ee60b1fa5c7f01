# SPDX-License-Identifier: Apache-2.0
"""Valid NPY and NIfTI files."""

from __future__ import annotations

import gzip
import io
from typing import Any

import nibabel
import numpy as np

from dsfedmed_benchmarks.fuzz.seed import Seed, colours, one_file, pattern

AFFINE = np.array([[-0.8, 0, 0, 10], [0, 0.9, 0.1, -20], [0, -0.1, 2.5, 5], [0, 0, 0, 1.0]])


def array_seeds() -> list[Seed]:
    """Return the seeds of NPY and NIfTI."""
    return [*_npy_seeds(), *_nifti_seeds()]


def _npy_seeds() -> list[Seed]:
    grey = pattern()
    made = {
        "uint8": grey,
        "float": grey[..., None] / np.float32(255),
        "big-endian": grey.astype(">i2"),
        "bool": grey > 200,
        "planes": np.stack([grey] * 5, axis=-1),
    }
    found = []
    for name, array in made.items():
        stream = io.BytesIO()
        np.save(stream, array)
        found.append(one_file(f"npy-{name}", "NPY", ".npy", stream.getvalue()))
    return found


def _nifti_seeds() -> list[Seed]:
    volume = np.stack([pattern(16, 20, number).T for number in range(5)], axis=-1)
    rgb = np.zeros((20, 16, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["R"], rgb["G"] = colours(16, 20)[..., 0].T[..., None], colours(16, 20)[..., 1].T[..., None]
    label = nibabel.Nifti1Image((volume > 200).astype(np.int16), AFFINE)
    label.header.set_slope_inter(1.0, 0.0)
    label.header["scl_slope"] = 1.0
    four = np.stack([volume.astype(np.int16)] * 3, axis=-1)
    single = {
        "int16": nibabel.Nifti1Image(volume.astype(np.int16), AFFINE),
        "float": nibabel.Nifti1Image(volume.astype(np.float32), AFFINE),
        "second": nibabel.Nifti2Image(volume.astype(np.int16), AFFINE),
        "rgb": nibabel.Nifti1Image(rgb, AFFINE),
        "4d": nibabel.Nifti1Image(four, AFFINE),
        "label": label,
        "unplaced": nibabel.Nifti1Image(volume, None),
    }
    found = [one_file(f"nifti-{name}", "NIfTI", ".nii", _plain(image)) for name, image in single.items()]
    packed = gzip.compress(_plain(single["int16"]), mtime=0)
    found.append(one_file("nifti-packed", "NIfTI", ".nii.gz", packed))
    return [*found, *_pair(volume)]


def _pair(volume: np.ndarray) -> list[Seed]:
    """Return header and voxels in two files, each of them damaged in turn."""
    pair: Any = nibabel.Nifti1Pair(volume.astype(np.int16), AFFINE)
    streams = {"header": io.BytesIO(), "image": io.BytesIO()}
    holders = {name: nibabel.FileHolder(fileobj=stream) for name, stream in streams.items()}
    pair.to_file_map(holders)
    files = {"pair.hdr": streams["header"].getvalue(), "pair.img": streams["image"].getvalue()}
    return [Seed(f"nifti-pair-{end}", "NIfTI", files, "pair.hdr", f"pair.{end}") for end in ("hdr", "img")]


def _plain(image: Any) -> bytes:
    return bytes(image.to_bytes())
