# SPDX-License-Identifier: Apache-2.0
"""DICOM by PS3.3 and PS3.4: values, colours and clips; identity tags change nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSLossless, RLELossless

from dsfedmed.data.files.dicom import values as dicom_values
from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.errors import DataError
from tests.data.files.making import SEGMENTATION, dicom, item, shape_of

GREY = shape_of()


def shown(path: Path, declared: tuple[float, float] | None = None) -> np.ndarray:
    """(rows, columns) or (rows, columns, 3) in [0, 1], as training sees it."""
    raw = read_raw(path)
    picture = scaled(raw.array, windows(raw, declared))
    return picture[..., 0].T if picture.shape[-1] == 1 else picture.swapaxes(0, 1)


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": 1, "RescaleIntercept": 0},
        {"WindowCenter": 128, "WindowWidth": 256},
        {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"},
        {"PresentationLUTShape": "IDENTITY"},
        {"RescaleSlope": "1.0", "WindowCenter": ["128", "40"], "WindowWidth": ["256", "80"]},
    ],
    ids=str,
)
def test_identity_tags_change_no_bit(tmp_path: Path, tags: dict[str, Any]) -> None:
    dicom(tmp_path / "plain.dcm", GREY)
    dicom(tmp_path / "said.dcm", GREY, **tags)
    np.testing.assert_array_equal(shown(tmp_path / "said.dcm"), shown(tmp_path / "plain.dcm"))
    np.testing.assert_array_equal(shown(tmp_path / "plain.dcm"), GREY / np.float32(255))


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 16])
def test_low_is_white(tmp_path: Path, pixels: np.ndarray) -> None:
    dicom(tmp_path / "black.dcm", pixels)
    dicom(tmp_path / "white.dcm", (pixels.max() - pixels).astype(pixels.dtype), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(shown(tmp_path / "white.dcm"), shown(tmp_path / "black.dcm"), atol=1e-6)


def test_a_window_by_hand(tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.2: x <= c - 0.5 - (w - 1) / 2 is 0, x > c - 0.5 + (w - 1) / 2 is 1."""
    stored = np.array([[0, 939, 940, 1024, 1139, 1140, 4000]], np.uint16)
    dicom(tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=16, WindowWidth=201)
    expected = np.clip((stored - 1024.0 - (15.5 - 100)) / 200, 0, 1)
    np.testing.assert_allclose(shown(tmp_path / "a.dcm"), expected, atol=1e-6)
    np.testing.assert_allclose(shown(tmp_path / "a.dcm", (-84.0, 116.0))[0, 3], 84 / 200, atol=1e-6)


def test_a_sigmoid_window(tmp_path: Path) -> None:
    stored = np.array([[100, 200, 300]], np.uint16)
    dicom(tmp_path / "a.dcm", stored, WindowCenter=200, WindowWidth=400, VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(shown(tmp_path / "a.dcm")[0], 1 / (1 + np.exp([1.0, 0.0, -1.0])), atol=1e-6)


def test_lookup_tables(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    modality = item(LUTDescriptor=[4, 0, 16], ModalityLUTType="US", LUTData=[10, 20, 30, 40])
    voi = item(LUTDescriptor=[4, 0, 8], LUTData=[0, 255, 51, 102])
    for sequence in (modality, voi):
        sequence["LUTDescriptor"].VR = "US"
        sequence["LUTData"].VR = "US"
    dicom(tmp_path / "modality.dcm", stored, ModalityLUTSequence=[modality], WindowCenter=25.5, WindowWidth=31)
    np.testing.assert_allclose(shown(tmp_path / "modality.dcm")[0], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    dicom(tmp_path / "voi.dcm", stored, VOILUTSequence=[voi])
    np.testing.assert_allclose(shown(tmp_path / "voi.dcm")[0], [0, 1, 0.2, 0.4], atol=1e-6)


@pytest.mark.parametrize("tags", [{"PixelPaddingValue": 0}, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 9}])
@pytest.mark.parametrize("white", [False, True])
def test_padding_is_black_and_does_not_stretch_the_scale(tmp_path: Path, tags: dict[str, int], white: bool) -> None:
    stored = np.full((40, 40), 9 if len(tags) == 2 else 0, np.uint16)
    stored[:, 20:] = np.linspace(1000, 2000, 800).reshape(40, 20)
    kind = "MONOCHROME1" if white else "MONOCHROME2"
    dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=kind, **tags)
    picture = shown(tmp_path / "a.dcm")
    assert (picture[:, :20] == 0).all()
    inside = 1 - picture[:, 20:] if white else picture[:, 20:]
    np.testing.assert_allclose(inside.ravel()[[200, 400, 600]], [0.25, 0.5, 0.75], atol=0.02)


def test_bits_above_those_in_use_and_the_sign(tmp_path: Path) -> None:
    values = np.array([[-5, 0, 7, 2047]], np.int16)
    dirty = ((values.astype(np.int32) & 0x0FFF) | 0xA000).astype(np.uint16)
    dicom(tmp_path / "signed.dcm", dirty, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(read_raw(tmp_path / "signed.dcm").array[:, 0, 0], values[0])
    shifted = (np.array([[1, 2, 4095]], np.uint16) << 4) | 3
    dicom(tmp_path / "high.dcm", shifted, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(read_raw(tmp_path / "high.dcm").array[:, 0, 0], [1, 2, 4095])


def test_palette_color_is_the_rgb_picture(tmp_path: Path) -> None:
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 4
    table = np.array([[0, 0, 0], [255, 0, 10], [0, 128, 20], [7, 8, 9]], np.uint8)
    for bits, factor in ((8, 1), (16, 257)):
        tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for number, name in enumerate(("Red", "Green", "Blue")):
            tags[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
            entries = (table[:, number].astype(np.uint16) * factor).astype(np.uint8 if bits == 8 else np.uint16)
            tags[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
        dicom(tmp_path / "p.dcm", indices, **tags)
        np.testing.assert_array_equal(shown(tmp_path / "p.dcm"), table[indices] / np.float32(255))
        assert probe(tmp_path / "p.dcm").channels == 3
        np.testing.assert_array_equal(read_raw(tmp_path / "p.dcm", label=True).array[..., 0].T, indices)


def test_ybr_is_the_rgb_picture(tmp_path: Path) -> None:
    colours = np.dstack([np.kron(shape_of(seed, 3, 5), np.ones((8, 8), np.uint8)) for seed in range(3)])
    ybr = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    dicom(tmp_path / "full.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(shown(tmp_path / "full.dcm") * 255 - colours).max() < 4


def compressed(path: Path, stream: bytes, syntax: str) -> None:
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate([stream])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)


def test_compressed_pixels_are_the_plain_ones(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", quality=99)
    dicom(tmp_path / "jpeg.dcm", smooth)
    compressed(tmp_path / "jpeg.dcm", stream.getvalue(), JPEGBaseline8Bit)
    assert np.abs(shown(tmp_path / "jpeg.dcm") * 255 - smooth).max() < 4
    data = dicom(tmp_path / "rle.dcm", smooth)
    data.compress(RLELossless)
    data.save_as(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(shown(tmp_path / "rle.dcm"), smooth / np.float32(255))


def test_a_codec_that_is_not_installed_is_named_with_its_package(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", GREY)
    compressed(tmp_path / "a.dcm", b"\xff\xd8\xff\xf7" + b"\0" * 40, JPEGLSLossless)
    with pytest.raises(DataError) as caught:
        read_raw(tmp_path / "a.dcm")
    assert "JPEG-LS" in caught.value.reason
    assert "pip install pyjpegls" in caught.value.fix


def test_a_clip_is_frames_in_order(tmp_path: Path) -> None:
    frames = np.stack([shape_of(seed) for seed in range(5)])
    dicom(tmp_path / "clip.dcm", frames)
    raw = read_raw(tmp_path / "clip.dcm")
    np.testing.assert_array_equal(raw.array[..., 0].transpose(2, 1, 0), frames)
    assert probe(tmp_path / "clip.dcm").slices == raw.slices == 5
    assert "5 frames without positions" in raw.notes[0]
    colour = np.stack([np.dstack([frames[0]] * 3)] * 2)
    dicom(tmp_path / "colour.dcm", colour)
    assert read_raw(tmp_path / "colour.dcm").array.shape == (20, 12, 2, 3)


def test_an_object_without_a_picture_and_a_fractional_segmentation_are_refused(tmp_path: Path) -> None:
    data = dicom(tmp_path / "a.dcm", GREY)
    del data.PixelData
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="holds no picture"):
        read_raw(tmp_path / "a.dcm")
    dicom(tmp_path / "f.dcm", GREY, SOPClassUID=SEGMENTATION, SegmentationType="FRACTIONAL")
    with pytest.raises(DataError, match="fractional"):
        read_raw(tmp_path / "f.dcm", label=True)


def test_no_patient_data_are_kept(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", GREY, PatientName="Doe^Jane", PatientID="4711")
    assert "Doe" not in repr(read_raw(tmp_path / "a.dcm"))


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_refusal_repeats_no_text_of_the_file(tmp_path: Path) -> None:
    """A damaged length makes an element run over the patient's name."""
    dicom(tmp_path / "a.dcm", GREY, SOPClassUID="1.2.3\r\nDoe^Jane", Rows=0)
    with pytest.raises(DataError, match=r"it holds no picture \(of no class that the standard knows\)") as caught:
        probe(tmp_path / "a.dcm")
    assert "Doe" not in str(caught.value)


def test_bytes_in_a_decoders_words_stay_out_of_the_line(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", GREY)
    content = (tmp_path / "a.dcm").read_bytes().replace(b"MONOCHROME2", b"MON\n\x00\x01\x0eOME2")
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(DataError, match="its pixels cannot be decoded") as caught:
        read_raw(tmp_path / "a.dcm")
    assert str(caught.value).isprintable()


def test_an_inverse_shape_of_monochrome2_is_said(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", GREY, PresentationLUTShape="INVERSE")
    raw = read_raw(tmp_path / "a.dcm")
    assert any("taken as MONOCHROME2" in note for note in raw.notes)
    np.testing.assert_array_equal(raw.array[..., 0].T, GREY)


@pytest.mark.parametrize(
    ("words", "said", "fix"),
    [
        ("Pillow does not support 12-bit precision", "for which no decoder is installed", "pip install pylibjpeg"),
        ("broken data stream", "its pixels cannot be decoded", "Replace the file"),
    ],
)
def test_extended_jpeg_of_twelve_bits_needs_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str, fix: str
) -> None:
    def refused(dataset: pydicom.Dataset) -> np.ndarray:
        raise RuntimeError(f"exceptions were raised by all available plugins: pillow: {words}")

    dicom(tmp_path / "a.dcm", GREY)
    compressed(tmp_path / "a.dcm", b"\xff\xd8\xff\xc1" + b"\0" * 40 + b"\xff\xd9", JPEGExtended12Bit)
    monkeypatch.setattr(dicom_values, "decoded", refused)
    with pytest.raises(DataError, match=said) as caught:
        read_raw(tmp_path / "a.dcm")
    assert fix in caught.value.fix


@pytest.mark.parametrize("cut", [2, 60])
def test_a_jpeg_frame_that_was_cut_is_refused(tmp_path: Path, cut: int) -> None:
    """Its decoder would fill the rest with grey."""
    stream = io.BytesIO()
    Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8))).save(stream, "JPEG", quality=90)
    dicom(tmp_path / "a.dcm", np.kron(GREY, np.ones((8, 8), np.uint8)))
    compressed(tmp_path / "a.dcm", stream.getvalue()[:-cut], JPEGBaseline8Bit)
    with pytest.raises(DataError, match=r"a\.dcm: its frame 1 is cut"):
        read_raw(tmp_path / "a.dcm")


@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", b"\xff\0"])
def test_a_whole_jpeg_frame_may_be_padded_with_zeros_or_fill_bytes(tmp_path: Path, padding: bytes) -> None:
    stream = io.BytesIO()
    large = np.kron(GREY, np.ones((8, 8), np.uint8))
    Image.fromarray(large).save(stream, "JPEG", quality=90)
    dicom(tmp_path / "a.dcm", large)
    compressed(tmp_path / "a.dcm", stream.getvalue() + padding, JPEGBaseline8Bit)
    found = np.squeeze(read_raw(tmp_path / "a.dcm").array)
    assert np.abs(found.astype(int) - np.asarray(Image.open(stream)).T).max() <= 1
