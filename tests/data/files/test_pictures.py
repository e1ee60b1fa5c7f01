# SPDX-License-Identifier: Apache-2.0
"""PNG, JPEG, BMP and GIF: upright, with alpha, palettes, few bits and several pictures as they are meant."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files import limits, pictures
from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.data.masks.decode import decode
from dsfedmed.errors import DataError
from tests.data.files.making import png, shape_of


def turned_by(orientation: int, shown: np.ndarray) -> np.ndarray:
    """Return the rows and columns to store so that a viewer shows ``shown`` (EXIF 2.3, 4.6.4)."""
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }
    return np.ascontiguousarray(undo[orientation](shown))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "label"), [("jpg", False), ("png", False), ("png", True)])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str, label: bool) -> None:
    shown = np.repeat(np.repeat(shape_of(rows=3, columns=5), 16, axis=0), 16, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(turned_by(orientation, shown)).save(
        path, exif=exif, **({"quality": 100} if suffix == "jpg" else {})
    )
    raw = read_raw(path, label)
    assert np.abs(raw.array[..., 0].T.astype(int) - shown).max() <= (6 if suffix == "jpg" else 0)
    assert probe(path).size == raw.size == (80, 48)
    assert bool(raw.notes) == (orientation != 1)


def test_a_broken_exif_block_does_not_lose_the_picture(tmp_path: Path) -> None:
    Image.fromarray(shape_of()).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(read_raw(tmp_path / "a.png").array[..., 0].T, shape_of())


def test_alpha_of_an_image(tmp_path: Path) -> None:
    grey = shape_of()
    opaque, half = np.full_like(grey, 255), np.where(grey > 99, 255, 0).astype(np.uint8)
    png(tmp_path / "opaque.png", np.dstack([grey, grey, grey, opaque]))
    png(tmp_path / "holes.png", np.dstack([grey, grey, grey, half]))
    png(tmp_path / "alone.png", np.dstack([opaque, opaque, opaque, grey]))
    png(tmp_path / "la.png", np.dstack([grey, half]), "LA")
    assert read_raw(tmp_path / "opaque.png").notes == ()
    np.testing.assert_array_equal(read_raw(tmp_path / "opaque.png").array[..., 1].T, grey)
    holes = read_raw(tmp_path / "holes.png")
    np.testing.assert_array_equal(holes.array[..., 2].T, np.where(half > 0, grey, 0))
    assert "put on black" in holes.notes[0]
    np.testing.assert_array_equal(read_raw(tmp_path / "la.png").array[..., 0].T, np.where(half > 0, grey, 0))
    alone = read_raw(tmp_path / "alone.png")
    np.testing.assert_array_equal(alone.array[..., 0].T, grey)
    assert "transparency alone" in alone.notes[0]


def few_bits(path: Path, values: np.ndarray, bits: int) -> None:
    """Write a grey PNG of 1, 2 or 4 bits, which Pillow cannot write."""
    rows, columns = values.shape
    raw = b""
    for row in values:
        line = "".join(f"{int(value):0{bits}b}" for value in row)
        line += "0" * (-len(line) % 8)
        raw += b"\0" + bytes(int(line[start : start + 8], 2) for start in range(0, len(line), 8))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", columns, rows, bits, 0, 0, 0, 0)), (b"IDAT", zlib.compress(raw))]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_label_of_few_bits_keeps_its_numbers(tmp_path: Path, bits: int) -> None:
    values = np.arange(12).reshape(3, 4) % (2**bits)
    few_bits(tmp_path / "m.png", values, bits)
    np.testing.assert_array_equal(read_raw(tmp_path / "m.png", label=True).array[..., 0].T, values)
    image = read_raw(tmp_path / "m.png").array[..., 0].T
    np.testing.assert_array_equal(image, values * (255 // (2**bits - 1)))


def test_a_palette_of_a_label_travels_with_its_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 3), 2)
    picture.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "p.png")
    assert read_raw(tmp_path / "p.png").array[0, 0].tolist() == [200, 100, 50]
    label = read_raw(tmp_path / "p.png", label=True)
    assert label.array[0, 0].tolist() == [2]
    assert label.palette is not None
    assert label.palette[2].tolist() == [200, 100, 50]


@pytest.mark.parametrize("suffix", ["gif", "bmp", "png", "tif"])
def test_lossless_pictures_are_equal(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(shape_of()).save(tmp_path / f"a.{suffix}")
    raw = read_raw(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(raw.array[..., 0].T, shape_of())
    assert not raw.volume


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    colours = np.dstack([np.full((32, 32), value, np.uint8) for value in (200, 40, 90)])
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_raw(tmp_path / "a.jpg").array[5, 5].astype(int) - (200, 40, 90)).max() < 8


def test_an_animation_is_a_stack(tmp_path: Path) -> None:
    frames = [Image.fromarray(shape_of(seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], disposal=2)
    raw = read_raw(tmp_path / "a.gif")
    assert raw.volume
    assert raw.slices == probe(tmp_path / "a.gif").slices == 3
    for number in range(3):
        np.testing.assert_array_equal(raw.array[:, :, number, 0].T, shape_of(number))


def test_the_pictures_behind_the_first_of_a_phone_are_counted(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.dstack([shape_of(seed)] * 3)) for seed in range(2))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    raw = read_raw(tmp_path / "a.jpg")
    assert not raw.volume
    assert "1 further pictures" in raw.notes[0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("label", [False, True])
def test_a_very_large_picture_is_reduced_while_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, label: bool
) -> None:
    shown = np.kron(np.array([[0, 200], [120, 40]], np.uint8), np.ones((60, 100), np.uint8))
    Image.fromarray(shown).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(limits, "KEPT_PIXELS", 1500)
    monkeypatch.setattr("dsfedmed.data.files.tiffs.KEPT_PIXELS", 1500)
    raw = read_raw(tmp_path / f"a.{suffix}", label)
    assert raw.array.shape[0] * raw.array.shape[1] <= 1500
    assert raw.size == probe(tmp_path / f"a.{suffix}").size == (200, 120)
    quarter = [raw.array[x, y, 0] for x, y in ((5, 5), (-5, 5), (5, -5), (-5, -5))]
    assert np.abs(np.array(quarter, int) - (0, 200, 120, 40)).max() <= 2
    assert "read at" in raw.notes[-1]
    assert not label or set(np.unique(raw.array)) <= {0, 200, 120, 40, *((range(256)) if suffix == "jpg" else ())}


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png(tmp_path / "a.png", shape_of())
    monkeypatch.setattr(limits, "MAX_PIXELS", 100)
    monkeypatch.setattr(pictures, "reduced", None)
    for read in (read_raw, probe):
        with pytest.raises(DataError, match=r"a\.png: it has 20 x 12 pixels"):
            read(tmp_path / "a.png")


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    """Check sums are right, and Pillow reads it as black below the few rows that are there."""
    few_bits(tmp_path / "a.png", np.zeros((4, 8), dtype=np.uint8), 4)
    content = (tmp_path / "a.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 8, 10**7) + content[24:29]
    (tmp_path / "a.png").write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    for read in (probe, read_raw):
        with pytest.raises(DataError, match="8 x 10000000 pixels, and the file is too short"):
            read(tmp_path / "a.png")


def test_a_picture_of_one_colour_that_packs_as_well_as_can_be_is_read(tmp_path: Path) -> None:
    Image.new("L", (4000, 3000)).save(tmp_path / "a.png", optimize=True)
    assert (tmp_path / "a.png").stat().st_size < 4000 * 3000 / 900
    assert read_raw(tmp_path / "a.png").size == (4000, 3000)


def test_an_animated_label_keeps_its_numbers_as_greys(tmp_path: Path) -> None:
    """Pillow gives the first frame as indices and the others as colours."""
    frames = [(shape_of(number) % 3).astype(np.uint8) for number in range(3)]
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    raw = read_raw(tmp_path / "a.gif", label=True)
    np.testing.assert_array_equal(decode(raw, num_classes=2)[..., 0].transpose(2, 1, 0), np.stack(frames))


def test_black_on_transparent_is_taken_from_the_opacity(tmp_path: Path) -> None:
    """Over black nothing of it would remain; under the transparent pixels lies white."""
    drawn = shape_of() > 128
    colours = np.where(drawn, 0, 255).astype(np.uint8)
    png(tmp_path / "a.png", np.dstack([colours, colours, colours, drawn.astype(np.uint8) * 255]), "RGBA")
    np.testing.assert_array_equal(read_raw(tmp_path / "a.png").array[..., 0].T, drawn * 255)
    np.testing.assert_array_equal(decode(read_raw(tmp_path / "a.png", label=True), num_classes=1)[..., 0].T, drawn)
