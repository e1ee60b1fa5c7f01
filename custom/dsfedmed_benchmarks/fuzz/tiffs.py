# SPDX-License-Identifier: Apache-2.0
"""Valid TIFF files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile

from dsfedmed_benchmarks.fuzz.seed import Seed, colours, one_file, pattern

OME_UUID = "urn:uuid:00000000-0000-4000-8000-000000000000"  # else each writing has another one


def tiff_seeds() -> list[Seed]:
    """Return one seed for each way in which a TIFF is stored."""
    grey, rgb = pattern(32, 48), colours(32, 48)
    stack = np.stack([pattern(32, 48, number) for number in range(3)])
    table = np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    made: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "strips": (grey, {"rowsperstrip": 8}),
        "tiles": (rgb, {"tile": (16, 16), "photometric": "rgb"}),
        "lzw": (grey, {"compression": "lzw", "predictor": True}),
        "deflate": (grey.astype(np.uint16) * 257, {"compression": "zlib", "byteorder": ">"}),
        "jpeg": (rgb, {"compression": "jpeg", "photometric": "rgb"}),
        "planar": (rgb.transpose(2, 0, 1).copy(), {"planarconfig": "separate", "photometric": "rgb"}),
        "pages": (stack, {"photometric": "minisblack"}),
        "imagej": (stack, {"imagej": True, "metadata": {"axes": "ZYX"}}),
        "ome": (stack, {"ome": True, "photometric": "minisblack", "metadata": {"axes": "ZYX", "UUID": OME_UUID}}),
        "miniswhite": (grey, {"photometric": "miniswhite", "compression": "packbits"}),
        "palette": (grey, {"photometric": "palette", "colormap": table}),
        "big": (grey.astype(np.float32), {"bigtiff": True}),
        "turned": (grey, {"extratags": [(274, "H", 1, 6, True)]}),
    }
    return [one_file(f"tiff-{name}", "TIFF", ".tif", _written(array, more)) for name, (array, more) in made.items()]


def _written(array: np.ndarray, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()
