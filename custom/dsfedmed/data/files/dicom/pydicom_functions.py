# SPDX-License-Identifier: Apache-2.0
"""pydicom's pixel functions under one name each: MONAI Label's environment has pydicom 2, everything else 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import _read_file_meta_info, read_preamble

try:
    from pydicom.encaps import generate_frames
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
    from pydicom.pixels.utils import pixel_array

    IS_3 = True
except ImportError:
    from pydicom.encaps import generate_pixel_data
    from pydicom.pixel_data_handlers.util import (  # type: ignore[no-redef]
        apply_color_lut,
        apply_modality_lut,
        apply_voi_lut,
        convert_color_space,
    )

    IS_3 = False

__all__ = ["apply_color_lut", "apply_modality_lut", "apply_voi_lut", "decoded", "encapsulated_frames",
           "transfer_syntax"]  # fmt: skip


def transfer_syntax(file: BinaryIO) -> str:
    """Return the transfer syntax that an opened file names, or an empty string; it then stands behind that group.

    It is read as ``dcmread`` with ``force`` reads it, which takes a file without preamble too.
    """
    read_preamble(file, True)
    return str(_read_file_meta_info(file).get("TransferSyntaxUID", ""))


def encapsulated_frames(dataset: Dataset, frames: int) -> Iterator[bytes]:
    """Yield the compressed stream of each frame."""
    if IS_3:
        yield from generate_frames(dataset.PixelData, number_of_frames=frames)
    else:
        yield from (b"".join(parts) for parts in generate_pixel_data(dataset.PixelData, frames))


def decoded(dataset: Dataset) -> np.ndarray:
    """Return a data set's stored numbers; YBR becomes RGB, and bits that are not in use are left as they are."""
    if IS_3:
        return np.asarray(pixel_array(dataset, correct_unused_bits=False))
    array: Any = dataset.pixel_array
    kind = str(dataset.get("PhotometricInterpretation", ""))
    return np.asarray(convert_color_space(array, kind, "RGB") if kind.startswith("YBR_FULL") else array)
