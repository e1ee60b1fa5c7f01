# SPDX-License-Identifier: Apache-2.0
"""The short way through a plain PNG gives what the long way gives, and takes nothing that is not plain and whole."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dsfedmed.data.files.pictures import read_picture
from dsfedmed.data.files.plain_png import read_plain_png
from dsfedmed.data.files.read import read_raw
from dsfedmed.errors import DataError
from tests.data.files.making import shape_of
from tests.data.files.test_png_chunks import chunk

GREY = shape_of()
ADAM7 = ("16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777")
"""Pass of each pixel of a square of eight (PNG 1.2, 2.6)."""
COLOUR = np.stack([shape_of(seed) for seed in range(3)], axis=-1)


def short(path: Path) -> np.ndarray | None:
    """The array of the short way; None where it does not take the file."""
    raw = read_plain_png(path, path.read_bytes())
    return None if raw is None else raw.array


@pytest.mark.parametrize("picture", [GREY, COLOUR, GREY[:1, :1]], ids=["grey", "colour", "one pixel"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}, {"dpi": (96, 96)}, {"pnginfo": 1}])
def test_both_ways_give_the_same_numbers(tmp_path: Path, picture: np.ndarray, options: dict[str, object]) -> None:
    path = tmp_path / "a.png"
    options = {"pnginfo": text("Software")} if "pnginfo" in options else options
    Image.fromarray(picture).save(path, **options)
    array = short(path)
    assert array is not None
    for label in (False, True):
        long = read_picture(path, label)
        np.testing.assert_array_equal(array, long.array)
        assert (array.dtype, long.notes) == (np.uint8, ())
    rows = picture if picture.ndim == 3 else picture[..., None]
    np.testing.assert_array_equal(array, rows.swapaxes(0, 1))


def text(name: str) -> PngInfo:
    """A text chunk."""
    info = PngInfo()
    info.add_text(name, "x")
    return info


@pytest.mark.parametrize(
    ("picture", "options"),
    [
        (Image.fromarray(GREY.astype(np.uint16)), {}),
        (Image.fromarray(GREY).convert("1"), {}),
        (Image.fromarray(GREY).convert("P"), {}),
        (Image.fromarray(GREY).convert("LA"), {}),
        (Image.fromarray(COLOUR).convert("RGBA"), {}),
        (Image.fromarray(GREY), {"transparency": 3}),
        (Image.fromarray(GREY), {"pnginfo": text("Raw profile type exif")}),
        (Image.fromarray(GREY), {"pnginfo": text("XML:com.adobe.xmp")}),
        (Image.fromarray(GREY), {"save_all": True, "append_images": [Image.fromarray(GREY[::-1])]}),
    ],
    ids=["16 bits", "1 bit", "palette", "grey and alpha", "alpha", "one transparent", "exif", "xmp", "animation"],
)
def test_what_is_not_plain_goes_the_long_way(tmp_path: Path, picture: Image.Image, options: dict[str, object]) -> None:
    picture.save(tmp_path / "a.png", **options)
    assert short(tmp_path / "a.png") is None
    assert read_raw(tmp_path / "a.png").size == (20, 12)


@given(at=st.integers(8, 300), bit=st.integers(0, 7))
def test_no_bit_of_a_chunk_can_turn_unseen(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("bits") / "a.png"
    Image.fromarray(GREY).save(path)
    content = bytearray(path.read_bytes())
    content[at % (len(content) - 8) + 8] ^= 1 << bit
    path.write_bytes(bytes(content))
    assert short(path) is None


def test_a_file_that_lost_its_end_mark_is_cut(tmp_path: Path) -> None:
    for picture, name in ((GREY, "a.png"), (np.dstack([COLOUR, GREY]), "b.png")):
        Image.fromarray(picture).save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-10])
        assert short(tmp_path / name) is None
        with pytest.raises(DataError, match=rf"{name}: it is cut: its end mark is missing"):
            read_raw(tmp_path / name)


@pytest.mark.parametrize("rows", [0, 5, 11])
@pytest.mark.parametrize(("bits", "colour"), [(8, 0), (4, 0), (1, 0), (8, 4)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_rows_that_are_missing_behind_right_sums_are_not_made_up(
    tmp_path: Path, rows: int, bits: int, colour: int, interlaced: int
) -> None:
    """Chunks fit their sums and the packed rows end early: Pillow would fill the rest with black."""
    path, row = tmp_path / "a.png", b"\0" + bytes(20 * (2 if colour else 1) * bits // 8 + (bits == 1))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 12, bits, colour, 0, 0, interlaced))
    packed = chunk(b"IDAT", zlib.compress(row * rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + packed + chunk(b"IEND", b""))
    assert short(path) is None
    with pytest.raises(DataError, match=r"a\.png"):
        read_raw(path)


@pytest.mark.parametrize(
    ("bits", "colour", "samples"), [(8, 0, 1), (1, 0, 1), (8, 3, 1), (8, 4, 2), (8, 6, 4), (16, 0, 1)]
)
def test_whole_interlaced_pictures_are_read(tmp_path: Path, bits: int, colour: int, samples: int) -> None:
    """Written by hand, all zero: Pillow writes none. The pass of each pixel is looked up."""
    passes = Counter((ADAM7[y][x], y) for y in range(3) for x in range(5))
    rows = [bytes(1 + (columns * bits * samples + 7) // 8) for _, columns in sorted(passes.items())]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 3, bits, colour, 0, 0, 1))
    palette = chunk(b"PLTE", bytes(3)) if colour == 3 else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + palette + body)
    assert read_raw(tmp_path / "a.png").size == (5, 3)
