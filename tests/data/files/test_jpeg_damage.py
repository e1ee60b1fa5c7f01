# SPDX-License-Identifier: Apache-2.0
"""Damage within a JPEG is seen; whole ones of every usual kind are not doubted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files.damage.jpeg_damage import jpeg_doubt
from dsfedmed.data.files.read import read_raw
from dsfedmed.errors import DataError
from tests.data.files.making import shape_of

GREY = shape_of(0, 64, 48) // 6 + 20  # contrast as of tissue


def jpeg(mode: str = "L", **options: Any) -> bytes:
    """A JPEG of noise."""
    buffer = io.BytesIO()
    Image.fromarray(GREY).convert(mode).save(buffer, "jpeg", quality=90, **options)
    return buffer.getvalue()


def doubt(tmp_path: Path, content: bytes) -> str | None:
    (tmp_path / "a.jpg").write_bytes(content)
    return jpeg_doubt(tmp_path / "a.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 2}, {"comment": b"x"}]
)
def test_a_whole_file_is_not_doubted(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    assert doubt(tmp_path, jpeg(mode, **options)) is None
    assert doubt(tmp_path, jpeg(mode, **options) + bytes(64)) is None, "what stands behind the end is no part of it"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_that_was_cut_and_closed_again_is_doubted(tmp_path: Path, progressive: bool) -> None:
    whole = jpeg(progressive=progressive)
    told = doubt(tmp_path, whole[: len(whole) // 2] + b"\xff\xd9")
    assert told is not None
    assert "its codes are damaged" in told


def test_zeros_in_the_middle_are_doubted(tmp_path: Path) -> None:
    content = bytearray(jpeg())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    assert np.asarray(Image.open(io.BytesIO(bytes(content)))).shape == GREY.shape, "decoders say nothing"
    told = doubt(tmp_path, bytes(content))
    assert told is not None
    assert "its codes are damaged" in told


def test_a_tail_of_zeros_has_no_end_mark(tmp_path: Path) -> None:
    content = jpeg()
    told = doubt(tmp_path, content[: len(content) // 2] + bytes(len(content) // 2))
    assert told is not None
    assert "its end is missing" in told


def test_other_files_are_not_judged(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert jpeg_doubt(tmp_path / "a.png") is None
    assert jpeg_doubt(tmp_path) is None


def test_a_picture_that_is_written_over_and_over_is_refused(tmp_path: Path) -> None:
    """Each further scan costs as much as decoding the picture."""
    content = jpeg(progressive=True)
    last = content.rfind(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:-2] + content[last:-2] * 200 + content[-2:])
    with pytest.raises(DataError, match=r"it is a JPEG of 20\d scans \(at most 200\)"):
        read_raw(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(content)
    assert read_raw(tmp_path / "b.jpg").size == (48, 64)
