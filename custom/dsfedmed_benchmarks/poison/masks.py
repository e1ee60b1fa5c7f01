# SPDX-License-Identifier: Apache-2.0
"""Ways in which a site's training masks are wrong: a copy of the site's folder with other labels.

Validation and test masks stay, for what is asked is what the others' networks learn from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsfedmed.data.datalist import FILE_NAME
from dsfedmed.seeds import derive_seed

Mask = NDArray[np.uint8]


def inverted(masks: list[Mask]) -> list[Mask]:
    """Swap object and background."""
    return [np.where(mask > 0, 0, 255).astype(np.uint8) for mask in masks]


def shifted(masks: list[Mask]) -> list[Mask]:
    """Move every mask by half of its sides, around the edges."""
    return [np.roll(mask, (mask.shape[0] // 2, mask.shape[1] // 2), (0, 1)) for mask in masks]


def of_others(masks: list[Mask]) -> list[Mask]:
    """Give every image the mask of another one, at its own size."""
    order = np.random.default_rng(derive_seed(0, "poison", "masks")).permutation(len(masks))
    return [
        np.asarray(Image.fromarray(masks[other]).resize(mask.shape[::-1], Image.Resampling.NEAREST))
        for mask, other in zip(masks, order, strict=True)
    ]


MASKS: dict[str, Callable[[list[Mask]], list[Mask]]] = {
    "masks inverted": inverted,
    "masks shifted": shifted,
    "masks of other images": of_others,
}
"""Wrong masks by name; for two-valued masks."""


def with_wrong_masks(site: Path, copy: Path, kind: str) -> None:
    """Write a copy of a site whose training masks are wrong.

    Args:
        site: folder with two-valued masks as pictures; it is only read.
        copy: where to write; left as it is where it is there.
        kind: a key of `MASKS`.
    """
    if copy.exists():
        return
    part = copy.with_name(f"{copy.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(site, part)
    entries = json.loads((site / FILE_NAME).read_text(encoding="utf-8"))["training"]
    names = [entry["label"] for entry in entries]
    masks = [(np.asarray(Image.open(site / name).convert("L")) > 0).astype(np.uint8) * 255 for name in names]
    for name, mask in zip(names, MASKS[kind](masks), strict=True):
        Image.fromarray(mask).save(part / name)
    part.rename(copy)
