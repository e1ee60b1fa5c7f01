# SPDX-License-Identifier: Apache-2.0
"""TIFF: one picture through many encodings gives one array; stacks, planes and pyramids are what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.errors import DataError
from tests.data.files.making import shape_of
from tests.data.files.test_pictures import turned_by


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "deflate", "predictor": True},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"photometric": "miniswhite"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_picture_through_many_encodings(tmp_path: Path, options: dict[str, Any], dtype: type) -> None:
    shown = shape_of().astype(dtype) * (257 if dtype is np.uint16 else 1)
    top = np.iinfo(dtype).max
    stored = top - shown if options.get("photometric") == "miniswhite" else shown
    tifffile.imwrite(tmp_path / "a.tif", stored.astype(dtype), **{"photometric": "minisblack", **options})
    for label in (False, True):
        np.testing.assert_array_equal(read_raw(tmp_path / "a.tif", label).array[..., 0].T, shown)
    assert (probe(tmp_path / "a.tif").size, probe(tmp_path / "a.tif").channels) == ((20, 12), 1)


def test_one_bit_white_is_zero(tmp_path: Path) -> None:
    mask = shape_of() > 128
    Image.fromarray(mask).save(tmp_path / "black.tif")
    tifffile.imwrite(tmp_path / "white.tif", ~mask, photometric="miniswhite")
    for name in ("black.tif", "white.tif"):
        np.testing.assert_array_equal(read_raw(tmp_path / name, label=True).array[..., 0].T, mask)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag(tmp_path: Path, orientation: int) -> None:
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", turned_by(orientation, shape_of()), extratags=tags)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.tif").array[..., 0].T, shape_of())
    assert probe(tmp_path / "a.tif").size == (20, 12)


def test_planes_and_interleaved_colours_are_equal(tmp_path: Path) -> None:
    colours = np.dstack([shape_of(seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", colours.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(read_raw(tmp_path / name).array.transpose(1, 0, 2), colours)
        assert probe(tmp_path / name).channels == 3


@pytest.mark.parametrize("channels", [2, 4, 5, 16])
def test_planes_without_a_meaning_are_channels(tmp_path: Path, channels: int) -> None:
    planes = np.dstack([shape_of(seed) for seed in range(channels)])
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", planarconfig="contig")
    raw = read_raw(tmp_path / "a.tif")
    np.testing.assert_array_equal(raw.array.transpose(1, 0, 2), planes)
    assert probe(tmp_path / "a.tif").channels == channels
    tifffile.imwrite(
        tmp_path / "b.tif", planes.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}, photometric="minisblack"
    )
    np.testing.assert_array_equal(read_raw(tmp_path / "b.tif").array.transpose(1, 0, 2), planes)


def test_alpha_that_the_tag_declares(tmp_path: Path) -> None:
    colours = np.dstack([shape_of(seed) for seed in range(3)])
    opaque = np.full((12, 20), 255, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([colours, opaque]), photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_raw(tmp_path / "a.tif").array.transpose(1, 0, 2), colours)
    assert probe(tmp_path / "a.tif").channels == 3


def test_pages_are_slices(tmp_path: Path) -> None:
    pages = np.stack([shape_of(seed) for seed in range(4)])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        for page in pages:
            writer.write(page, contiguous=False, metadata=None)
    for name in ("a.tif", "b.tif"):
        raw = read_raw(tmp_path / name)
        assert raw.volume
        np.testing.assert_array_equal(raw.array[..., 0].transpose(2, 1, 0), pages)
        assert probe(tmp_path / name).slices == 4


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"rowsperstrip": 3}])
def test_pages_that_were_appended_one_by_one_are_slices(tmp_path: Path, options: dict[str, Any]) -> None:
    """Each is a picture by itself to tifffile: written at another time, or in another compression."""
    pages = np.stack([shape_of(seed) for seed in range(3)])
    for number, page in enumerate(pages):
        tifffile.imwrite(tmp_path / "a.tif", page, append=number > 0, **(options if number == 1 else {}))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7), np.uint8), append=True)
    raw = read_raw(tmp_path / "a.tif")
    np.testing.assert_array_equal(raw.array[..., 0].transpose(2, 1, 0), pages)
    assert probe(tmp_path / "a.tif").slices == 3
    assert raw.notes == ("1 further pictures of other sizes or kinds in the file are left out",)


def test_pages_that_mean_something_else_are_no_slices(tmp_path: Path) -> None:
    first = shape_of()
    tifffile.imwrite(tmp_path / "a.tif", first)
    tifffile.imwrite(tmp_path / "a.tif", first, append=True, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "a.tif", first.astype(np.uint16), append=True)
    raw = read_raw(tmp_path / "a.tif")
    np.testing.assert_array_equal(raw.array[..., 0].T, first)
    assert raw.notes == ("2 further pictures of other sizes or kinds in the file are left out",)


def test_a_stack_in_two_directions_is_refused_by_name(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(DataError, match=r"a\.tif: it is a stack in more than one direction \(T 2, Z 3, Y 8, X 8\)"):
        read_raw(tmp_path / "a.tif")


def test_a_palette_is_colour_in_an_image_and_an_index_in_a_label(tmp_path: Path) -> None:
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 1] = (10 << 8, 20 << 8, 30 << 8)
    tifffile.imwrite(tmp_path / "a.tif", np.eye(8, dtype=np.uint8), photometric="palette", colormap=palette)
    assert read_raw(tmp_path / "a.tif").array[3, 3].tolist() == [10, 20, 30]
    label = read_raw(tmp_path / "a.tif", label=True)
    assert label.array[..., 0].tolist() == np.eye(8).tolist()
    assert label.palette is not None
    assert label.palette[1].tolist() == [10, 20, 30]
    assert probe(tmp_path / "a.tif").channels == 3


def test_of_a_slide_the_level_that_fits_is_read_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = [np.full((size, size, 3), size, np.uint8) for size in (128, 64, 32)]
    with tifffile.TiffWriter(tmp_path / "slide.tif", ome=True) as writer:
        writer.write(levels[0], subifds=2, tile=(16, 16), photometric="rgb")
        for level in levels[1:]:
            writer.write(level, subfiletype=1, tile=(16, 16), photometric="rgb")
        writer.write(np.zeros((10, 12, 3), np.uint8), photometric="rgb")
    monkeypatch.setattr("dsfedmed.data.files.tiffs.KEPT_PIXELS", 64 * 64)
    raw = read_raw(tmp_path / "slide.tif")
    assert raw.array.shape == (64, 64, 3)
    assert (raw.array == 64).all()
    assert raw.size == (128, 128)
    assert "1 further pictures of other sizes" in raw.notes[0]


def test_floats_and_signed_numbers_keep_their_order(tmp_path: Path) -> None:
    for dtype in (np.float32, np.float64, np.int16):
        values = (shape_of().astype(dtype) - 100) * 3
        tifffile.imwrite(tmp_path / "a.tif", values)
        raw = read_raw(tmp_path / "a.tif")
        np.testing.assert_array_equal(raw.array[..., 0].T, values)
        picture = scaled(raw.array, windows(raw))
        assert picture.min() == 0.0
        assert picture.max() == 1.0


def test_white_is_zero_of_floats_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.float32), photometric="miniswhite")
    with pytest.raises(DataError, match="white is zero"):
        read_raw(tmp_path / "a.tif")


def test_strips_that_were_never_written_are_counted(tmp_path: Path) -> None:
    picture = np.full((12, 20), 9, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", picture, rowsperstrip=4)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        page = file.pages[0]
        page.tags[279].overwrite([*page.databytecounts[:-1], 0])
    raw = read_raw(tmp_path / "a.tif")
    assert raw.notes == ("1 of its 3 strips or tiles hold nothing and are read as 0",)
    assert raw.array[..., 0].T.sum(axis=1).tolist() == [180] * 8 + [0] * 4


def test_colour_maps_of_eight_bits_are_read_as_such(tmp_path: Path) -> None:
    indices = np.arange(240, dtype=np.uint8).reshape(12, 20)
    colours = np.stack([np.arange(256), 255 - np.arange(256), np.zeros(256)]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    found = read_raw(tmp_path / "a.tif").array.swapaxes(0, 1)
    np.testing.assert_array_equal(found, np.stack([indices, 255 - indices, indices * 0], axis=-1))


@pytest.mark.parametrize("named", ["../elsewhere/other.tif", "/etc/passwd"])
def test_pages_of_other_files_are_not_followed(tmp_path: Path, named: str) -> None:
    """OME's description of a set may name any file of the machine; a site's images are those in its folder."""
    (tmp_path / "site").mkdir()
    (tmp_path / "elsewhere").mkdir()
    tifffile.imwrite(tmp_path / "elsewhere" / "other.tif", np.full((12, 20), 77, np.uint8))
    plane = '<TiffData IFD="0" FirstZ="{}" PlaneCount="1"><UUID FileName="{}">urn:uuid:{}</UUID></TiffData>'
    description = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<Image><Pixels SizeX="20" SizeY="12" SizeZ="2" SizeC="1" SizeT="1" Type="uint8" DimensionOrder="XYZCT">'
        f"{plane.format(0, 'a.ome.tif', 1)}{plane.format(1, named, 2)}</Pixels></Image></OME>"
    )
    path = tmp_path / "site" / "a.ome.tif"
    tifffile.imwrite(path, shape_of(), description=description, metadata=None)
    raw = read_raw(path)
    np.testing.assert_array_equal(raw.array[..., 0].T, shape_of()[None] if raw.volume else shape_of())
    assert raw.notes == ("its description names other files; the pages of this one alone are read",)
    assert probe(path).slices is None
