# SPDX-License-Identifier: Apache-2.0
"""Search what a finished run publishes for what is the sites' own: names of their files, paths, and pixels."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsfedmed.data.datalist import load_datalist

FILES = ("report.html", "results.json", "record.json", "status.json")
PICTURE = re.compile(rb"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)")
MACHINE = re.compile(r"(?<![\w<.:/])/(?:home|root|tmp|work|mnt|data|Users|opt|var|private)/[\w./-]+")
SIDES = (112, 320, 384)
"""Sides at which an image is looked for within a picture."""
SMALL = 16
"""Longer side to which an image and a picture of it are brought to be compared."""
ALIKE = 0.9
"""Correlation from which a part of a picture is an image."""
Grey = NDArray[np.float32]


def findings(run: Path, sites: Path) -> list[str]:
    """Return every find in the published files of ``run``: kind, file and what, for the sites below ``sites``."""
    words, images = _of_sites(sites)
    found = []
    for path in _published(run):
        content = path.read_bytes()
        text = PICTURE.sub(b"", content).decode(errors="replace")
        names = [word for word in sorted(words) if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        paths = MACHINE.findall(text) + [
            str(p) for p in (run, sites, Path.home()) if len(str(p)) > 5 and str(p) in text
        ]
        found += [f"name in {path.name}: {name}" for name in names]
        found += [f"path in {path.name}: {place}" for place in paths]
        pictures = [base64.b64decode(match) for match in PICTURE.findall(content)]
        pictures += [content] if path.suffix in (".png", ".jpg", ".jpeg") else []
        found += [f"pixels in {path.name}: {name}" for picture in set(pictures) for name in _held(picture, images)]
    return found


def _published(run: Path) -> Iterator[Path]:
    yield from (run / name for name in FILES)
    yield from sorted(path for path in (run / "release").rglob("*") if path.is_file())
    yield from sorted((run / "synthetic").glob("*.png"))


def _of_sites(sites: Path) -> tuple[set[str], dict[str, Image.Image]]:
    """Return the names of the sites' files and cases, and their test images."""
    words: set[str] = set()
    images: dict[str, Image.Image] = {}
    for file in sorted(sites.glob("*/datalist.json")):
        content = json.loads(file.read_text())
        for part in ("training", "validation", "test"):
            for item in content[part]:
                for name in (item["image"], item.get("label") or item["image"]):
                    words |= {Path(name).name, Path(name).stem}
                words |= {str(item["case"])} if "case" in item else set()
        for item in load_datalist(file.parent).parts["test"]:
            images[f"{file.parent.name}/{item.image.name}"] = Image.open(item.image).convert("L")
    return words, images


def _held(picture: bytes, images: dict[str, Image.Image]) -> list[str]:
    """Return the images that stand anywhere in a picture at one of `SIDES`, whatever their brightness and contrast."""
    shown = Image.fromarray(np.asarray(Image.open(io.BytesIO(picture)).convert("L"), np.float32))
    small = {name: np.asarray(_with_longer_side(image, SMALL), np.float32) for name, image in images.items()}
    found = set()
    for side in SIDES:
        scaled = np.asarray(_with_longer_side(shown, max(shown.size) * SMALL / side), np.float32)
        for shape in {template.shape for template in small.values()}:
            if scaled.shape[0] < shape[0] or scaled.shape[1] < shape[1]:
                continue
            names = [name for name, template in small.items() if template.shape == shape and template.std() > 1]
            windows = np.lib.stride_tricks.sliding_window_view(scaled, shape).reshape(-1, shape[0] * shape[1])
            templates = np.stack([small[name].reshape(-1) for name in names])
            alike = _normal(windows, 4.0) @ _normal(templates, 1.0).T / windows.shape[1]
            found |= {name for name, best in zip(names, alike.max(axis=0), strict=True) if best > ALIKE}
    return sorted(found)


def _normal(rows: Grey, least: float) -> Grey:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.maximum(rows.std(axis=1, keepdims=True), least)


def _with_longer_side(image: Image.Image, side: float) -> Image.Image:
    factor = side / max(image.size)
    width, height = (max(1, round(length * factor)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
