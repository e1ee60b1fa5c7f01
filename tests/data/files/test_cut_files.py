# SPDX-License-Identifier: Apache-2.0
"""A stack or animation that is cut anywhere is refused or whole: never fewer slices or pixels without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dsfedmed.data.files.read import read_raw
from dsfedmed.errors import DataError
from tests.data.files.making import shape_of

STACK = np.stack([shape_of(number, 32, 48) for number in range(3)])
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"photometric": "minisblack"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "ZYX"}},
    "big": {"bigtiff": True, "photometric": "minisblack", "byteorder": ">"},
    "jpeg": {"compression": "jpeg", "photometric": "minisblack", "tile": (16, 16)},
}


def hold_whole_or_refused(path: Path) -> None:
    content, whole = path.read_bytes(), read_raw(path).array
    refused = 0
    for length in range(60, len(content), 37):
        path.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(read_raw(path).array, whole, err_msg=f"{length} of {len(content)}")
        except DataError:
            refused += 1
    assert refused > len(content) // 37 // 2


@pytest.mark.parametrize("way", WAYS)
def test_a_cut_tiff(tmp_path: Path, way: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, **WAYS[way])
    assert read_raw(tmp_path / "a.tif").slices == 3
    hold_whole_or_refused(tmp_path / "a.tif")


def test_a_cut_animation(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(frame) for frame in STACK]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    hold_whole_or_refused(tmp_path / "a.gif")
    Image.fromarray(STACK[0]).save(tmp_path / "b.gif")
    content = (tmp_path / "b.gif").read_bytes()
    (tmp_path / "b.gif").write_bytes(content + b"words of the program that wrote it")
    np.testing.assert_array_equal(read_raw(tmp_path / "b.gif").array[..., 0].T, STACK[0])
    (tmp_path / "b.gif").write_bytes(content[:-1])
    with pytest.raises(DataError, match="its end mark is missing"):
        read_raw(tmp_path / "b.gif")
