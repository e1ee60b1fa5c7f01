# SPDX-License-Identifier: Apache-2.0
"""Valid site folders, whose ``datalist.json`` is damaged."""

from __future__ import annotations

import json
from typing import Any

from dsfedmed_benchmarks.fuzz.arrays import array_seeds
from dsfedmed_benchmarks.fuzz.pictures import picture_seeds
from dsfedmed_benchmarks.fuzz.seed import DATALIST, Seed


def site_seeds() -> list[Seed]:
    """Return a site of flat pictures with two classes, and one of volumes with every optional key."""
    picture = next(seed for seed in picture_seeds() if seed.name == "png-grey")
    volumes = {seed.name: seed.files[seed.target] for seed in array_seeds() if seed.kind == "NIfTI"}
    flat = {
        "name": "flat",
        "labels": {"0": "background", "1": "disc", "2": "cup"},
        "nested": True,
        "label_map": {"128": 1, "255": 2},
        "training": [{"image": "images/a.png", "label": "labels/a.png", "case": "1"}],
        "validation": [{"image": "images/b.png", "label": "labels/b.png", "case": "2"}],
        "test": ["images/c.png"],
    }
    files = {f"{folder}/{name}.png": picture.files[picture.target] for folder in ("images", "labels") for name in "abc"}
    more = {
        "name": "volumes",
        "labels": {"0": "background", "1": "lesion"},
        "channels": 2,
        "channel_names": ["T2", "T1"],
        "window": [0, 200],
        "slices": "labelled",
        "mask": {"kind": "values", "ignore": 255, "geometry": "affine", "files": "union"},
        "training": [{"image": {"T1": "a.nii", "T2": "b.nii"}, "label": ["l.nii"], "case": "p1"}],
        "test": [{"image": ["b.nii", "a.nii"], "case": "p2"}],
    }
    scans = {"a.nii": volumes["nifti-int16"], "b.nii": volumes["nifti-float"], "l.nii": volumes["nifti-label"]}
    return [_site("flat", flat, files), _site("volumes", more, scans)]


def _site(name: str, document: dict[str, Any], files: dict[str, bytes]) -> Seed:
    text = json.dumps(document, indent=1).encode()
    return Seed(f"datalist-{name}", DATALIST, {"datalist.json": text, **files}, "", "datalist.json")
