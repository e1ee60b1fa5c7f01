# SPDX-License-Identifier: Apache-2.0
"""Pictures to look at: the image with the outline of every class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from dsfedmed.data.labels import to_channels
from dsfedmed.prediction.areas import pixel_sides, stored_number
from dsfedmed.prediction.segmenting import Found
from dsfedmed.reporting.pictures import PREDICTION_COLOURS, draw_contour, upright
from dsfedmed.store.files import write_atomic

LONGER_SIDE = 512
"""Least length of a picture's longer side, in pixels; smaller images are enlarged so that outlines can be seen."""
MOST_SIDE = 8192
"""Of a picture, in pixels; one that would be longer, since its pixels are very long, is drawn at LONGER_SIDE."""
COLOURS = ("orange", "yellow", "pink")
"""Of the classes in turn, in words."""


class Overlays:
    """Writes ``NAME_overlay.png`` of a flat picture, ``NAME_overlays/slice_012.png`` of slices with something in them.

    Where the file says how the image lies, it is shown as radiologists look at it: the patient's right, and of sagittal
    slices the front, at the left; front or head at the top; millimetres alike in both directions. Images of 2, or of
    more than 3 channels show their first one in grey. Very large pictures are shown reduced.

    Args:
        folder: the folder of results.
        num_classes, nested: as the bundle has them.
    """

    def __init__(self, folder: Path, num_classes: int, nested: bool) -> None:
        self.folder, self.num_classes, self.nested = folder, num_classes, nested
        self.written = 0

    def of(self, name: PurePosixPath) -> Callable[[Found], None]:
        """Return what draws the picture, or the slices, of one image."""

        def draw(found: Found) -> None:
            number = stored_number(found.meta)
            if number is None:
                self._write(found, self.folder / f"{name}_overlay.png")
            elif found.mask.any():
                digits = max(3, len(str(int(found.meta["frame_slices"]))))
                self._write(found, self.folder / f"{name}_overlays" / f"slice_{number:0{digits}}.png")

        return draw

    def _write(self, found: Found, path: Path) -> None:
        turned, size = as_looked_at(found)
        picture = upright(found.picture.flip([axis + 1 for axis in turned]), size)
        labels = torch.from_numpy(found.mask).flip(turned)
        masks = to_channels(labels[None], self.num_classes, self.nested)
        for label, mask in enumerate(masks):
            draw_contour(picture, mask, size, PREDICTION_COLOURS[label % len(PREDICTION_COLOURS)], width=2)
        write_atomic(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
        self.written += 1


def as_looked_at(found: Found) -> tuple[list[int], tuple[int, int]]:
    """Return which of the axes (0: x, 1: y) are turned round for the eye, and the picture's size (x, y) in pixels.

    A reader's picture runs towards the patient's left, back and feet.
    """
    sides = pixel_sides(found.meta)
    turned, wide, high = [], float(found.mask.shape[0]), float(found.mask.shape[1])
    if sides is not None:
        turned = [axis for axis, step in enumerate(sides) if step[np.argmax(np.abs(step))] > 0]
        millimetres = [float(np.linalg.norm(step)) for step in sides]
        wide, high = (n * mm / min(millimetres) for n, mm in zip(found.mask.shape, millimetres, strict=True))
    factor = LONGER_SIDE / max(wide, high) if max(wide, high) < LONGER_SIDE or max(wide, high) > MOST_SIDE else 1.0
    return turned, (max(1, round(wide * factor)), max(1, round(high * factor)))
