# SPDX-License-Identifier: Apache-2.0
"""PNG chunks: wrong check sums are damage, and 16 bits stay 16 bits in every colour type."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files import limits
from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.data.masks.decode import decode
from dsfedmed.errors import DataError
from tests.data.files.making import shape_of

GREY = shape_of()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its check sum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep(path: Path, planes: np.ndarray, colour: int) -> Path:
    """Write (rows, columns, C) in 16 bits."""
    rows, columns = planes.shape[:2]
    content = b"".join(b"\0" + row.astype(">u2").tobytes() for row in planes)
    header = struct.pack(">IIBBBBB", columns, rows, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def damaged(path: Path, name: bytes, at: int) -> Path:
    """Turn one bit of a chunk's content."""
    content = bytearray(path.read_bytes())
    content[content.index(name) + 4 + at] ^= 1
    path.write_bytes(bytes(content))
    return path


def test_a_bit_that_turned_in_the_pixels_is_damage(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: it is damaged \(the check sum of its IDAT"):
        read_raw(damaged(tmp_path / "a.png", b"IDAT", 90))


def test_colours_of_16_bits_keep_all_of_them(tmp_path: Path) -> None:
    planes = np.stack([GREY.astype(np.uint16) * 16 + shift for shift in (0, 3, 7)], axis=-1)
    raw = read_raw(deep(tmp_path / "a.png", planes, colour=2))
    assert raw.array.dtype == np.uint16
    np.testing.assert_array_equal(raw.array.swapaxes(0, 1), planes)


def test_grey_of_16_bits_with_opacity_keeps_all_of_them(tmp_path: Path) -> None:
    grey = GREY.astype(np.uint16) * 16 + 5
    raw = read_raw(deep(tmp_path / "a.png", np.stack([grey, np.full_like(grey, 65535)], axis=-1), colour=4))
    np.testing.assert_array_equal(raw.array[..., 0].T, grey)
    assert raw.alpha is None


@pytest.mark.parametrize(("colour", "planes"), [(2, 3), (4, 1)])
def test_a_label_of_16_bits_in_several_planes_is_not_lost(tmp_path: Path, colour: int, planes: int) -> None:
    mask = (GREY > 99).astype(np.uint16)
    stored = np.repeat(mask[..., None], planes, axis=2)
    stored = stored if colour == 2 else np.concatenate([stored, np.full_like(stored, 65535)], axis=2)
    label = decode(read_raw(deep(tmp_path / "a.png", stored, colour), label=True), num_classes=1)
    np.testing.assert_array_equal(label[..., 0].T, mask)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("label", [False, True])
def test_colours_of_16_bits_are_turned_and_reduced_with_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, label: bool
) -> None:
    planes = np.stack([GREY.astype(np.uint16) * 200 + shift for shift in (0, 3, 7)], axis=-1)
    plain = read_raw(deep(tmp_path / "plain.png", planes, colour=2), label).array
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    content = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "turned.png").write_bytes(content[:33] + block + content[33:])
    turned = {1: plain, 3: plain[::-1, ::-1], 6: plain.swapaxes(0, 1)[::-1], 8: plain.swapaxes(0, 1)[:, ::-1]}
    raw = read_raw(tmp_path / "turned.png", label)
    np.testing.assert_array_equal(raw.array, turned[orientation])
    assert probe(tmp_path / "turned.png").size == raw.size
    monkeypatch.setattr(limits, "KEPT_PIXELS", 60)
    small = read_raw(tmp_path / "turned.png", label)
    assert small.size == raw.size
    assert small.array.dtype == np.uint16
    if label:
        assert np.isin(small.array, raw.array).all()
    else:
        blocks = raw.array.reshape(raw.size[0] // 2, 2, raw.size[1] // 2, 2, 3).mean(axis=(1, 3))
        np.testing.assert_array_equal(small.array, np.rint(blocks))


def test_only_a_png_with_chunks_that_may_turn_it_is_decoded_to_be_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "plain.png")
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    assert probe(tmp_path / "turned.png").size == (12, 20)

    def decoded(picture: Image.Image) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", decoded)
    assert probe(tmp_path / "plain.png").size == (20, 12)
