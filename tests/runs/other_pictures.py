# SPDX-License-Identifier: Apache-2.0
"""Made-up sites whose grey pictures become something else: four channels, or volumes with a place in the body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

NAMES = ("ADC", "flair", "T1", "T2")
PARTS = ("training", "validation", "test")
SLICES = 3
SPACING = (0.7, 0.7, 5.0)


def with_four_channels(site: Path, names: Sequence[str] = NAMES) -> None:
    """Turn a made-up site's grey pictures into NPY files of four channels in the order of ``names``."""
    document = json.loads((site / "datalist.json").read_text())
    for item in _items(document):
        grey = np.array(Image.open(site / item["image"]).convert("L"))
        planes = {"ADC": np.roll(grey, 3, axis=0), "flair": grey, "T1": grey // 2, "T2": 255 - grey}
        item["image"] = _replaced(site, item["image"], ".npy")
        np.save(site / item["image"], np.stack([planes[name] for name in names], axis=-1))
    document |= {"channels": 4, "channel_names": list(names)}
    (site / "datalist.json").write_text(json.dumps(document))


def with_volumes(site: Path, turned: bool = False) -> None:
    """Turn a made-up site's pictures and masks into NIfTI volumes of a few slices.

    Args:
        site: the folder.
        turned: store the labels with their first axis the other way round, as some programs write them.
    """
    document = json.loads((site / "datalist.json").read_text())
    for item in _items(document):
        for key in ("image", "label"):
            plane = np.array(Image.open(site / item[key]).convert("L")).T
            item[key] = _replaced(site, item[key], ".nii.gz")
            volume = np.stack([np.roll(plane, step, axis=1) for step in range(SLICES)], axis=2)
            affine = np.diag([*SPACING, 1.0])
            if turned and key == "label":
                volume, affine[0] = volume[::-1], (-SPACING[0], 0, 0, SPACING[0] * (len(volume) - 1))
            nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(volume), affine), site / item[key])
    (site / "datalist.json").write_text(json.dumps(document))


def _items(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (item for part in PARTS for item in document[part])


def _replaced(site: Path, name: str, suffix: str) -> str:
    """Remove a picture and return the name of the file in its place."""
    (site / name).unlink()
    return str(Path(name).with_suffix(suffix))
