# SPDX-License-Identifier: Apache-2.0
"""Pictures to look at: the image with the outline of every class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import torch
from PIL import Image

from dsfedmed.data.labels import to_channels
from dsfedmed.prediction.areas import stored_number
from dsfedmed.prediction.segmenting import Found
from dsfedmed.reporting.pictures import PREDICTION_COLOURS, draw_contour, upright
from dsfedmed.store.files import write_atomic

LONGER_SIDE = 512
"""Least length of a picture's longer side, in pixels; smaller images are enlarged so that outlines can be seen."""
COLOURS = ("orange", "yellow", "pink")
"""Of the classes in turn, in words."""


class Overlays:
    """Writes ``NAME_overlay.png`` of a flat picture, ``NAME_overlays/slice_012.png`` of slices with something in them.

    Images of 2, or of more than 3 channels show their first one in grey. Very large pictures are shown reduced.

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
        wide, high = found.mask.shape
        factor = max(1.0, LONGER_SIDE / max(wide, high))
        size = max(1, round(wide * factor)), max(1, round(high * factor))
        picture = upright(found.picture, size)
        masks = to_channels(torch.from_numpy(found.mask)[None], self.num_classes, self.nested)
        for label, mask in enumerate(masks):
            draw_contour(picture, mask, size, PREDICTION_COLOURS[label % len(PREDICTION_COLOURS)], width=2)
        write_atomic(path, lambda part: Image.fromarray(picture).save(part, format="PNG"))
        self.written += 1
