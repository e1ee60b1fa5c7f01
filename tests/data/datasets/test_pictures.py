# SPDX-License-Identifier: Apache-2.0
"""Pictures of a download: decoded, shrunk, greyed, written back, and damage named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.datasets.pictures import grey_of, open_picture, png
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.errors import DataError


def download(folder: Path, picture: Image.Image, name: str = "a.png") -> tuple[Source, Member]:
    """A source of one picture."""
    picture.save(folder / name)
    source = Source(folder)
    return source, source.members[0]


def test_a_picture_is_decoded_and_shrunk_on_request(tmp_path: Path) -> None:
    source, member = download(tmp_path, Image.new("RGB", (80, 40), (10, 20, 30)), "a.jpg")
    assert open_picture(source, member).size == (80, 40)
    small = open_picture(source, member, longest=20)
    assert small.size == (20, 10)
    np.testing.assert_allclose(np.asarray(small).reshape(-1, 3).mean(0), [10, 20, 30], atol=3)


@pytest.mark.parametrize(
    ("mode", "colour", "grey"), [("1", 1, 255), ("L", 7, 7), ("RGB", (255, 0, 0), 76)], ids=["bit", "grey", "red"]
)
def test_masks_are_displayed_grey(tmp_path: Path, mode: str, colour: int | tuple[int, ...], grey: int) -> None:
    """Red has luminance 0.299: 76 of 255."""
    found = grey_of(*download(tmp_path, Image.new(mode, (3, 2), colour)))
    assert found.dtype == np.uint8
    assert found.tolist() == [[grey] * 3] * 2


def test_png_keeps_every_value() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)[:, ::-1]
    encoded = png(array)
    assert encoded.suffix == ".png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded.content))), array)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG and no more")
    source = Source(tmp_path)
    with pytest.raises(DataError, match=r"bad\.png: it cannot be decoded"):
        open_picture(source, source.members[0])
