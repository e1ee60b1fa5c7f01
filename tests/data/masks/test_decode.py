# SPDX-License-Identifier: Apache-2.0
"""What a mask's numbers and colours mean: by rule, or where nothing else can be meant; else refused with both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import read_raw
from dsfedmed.data.masks.decode import decode, foreign_value
from dsfedmed.data.masks.rule import IGNORED, MaskRule
from dsfedmed.errors import DataError

DISC = np.zeros((24, 30), bool)
DISC[4:15, 6:20] = True


def raw(array: np.ndarray) -> Raw:
    return Raw(Path("mask"), array if array.ndim == 3 else array[..., None], np.eye(4), volume=False)


def through(path: Path, picture: Image.Image) -> Raw:
    picture.save(path)
    return read_raw(path, label=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("value", [1, 7, 128, 200])
def test_zero_and_one_other_number_is_a_mask_of_the_one_class(dtype: type, value: int) -> None:
    found = decode(raw(DISC.astype(dtype) * value), num_classes=1)
    np.testing.assert_array_equal(found[..., 0], DISC)
    assert found.dtype == np.uint8
    two_classes = decode(raw(DISC.astype(dtype) * value), num_classes=2)
    assert two_classes.max() == value, "with two classes the number says which one it is"


def test_the_number_that_was_taken_is_told(tmp_path: Path) -> None:
    rule = MaskRule()
    assert foreign_value(raw(DISC * np.uint8(128)), rule, 1, {255: 1}) == 128
    assert foreign_value(raw(DISC * np.uint8(255)), rule, 1, {255: 1}) is None
    assert foreign_value(raw(DISC * np.uint8(1)), rule, 1, {}) is None
    assert foreign_value(raw(DISC * np.uint8(128)), rule, 2, {}) is None


def test_sixteen_bit_white_is_the_one_class() -> None:
    np.testing.assert_array_equal(decode(raw(DISC * np.uint16(65535)), num_classes=1)[..., 0], DISC)


@pytest.mark.parametrize(
    ("palette", "indices"),
    [
        ([0, 0, 0, 255, 255, 255], DISC),
        ([255, 255, 255, 0, 0, 0], ~DISC),
        ([0, 0, 0, 200, 30, 30], DISC),
        ([10, 200, 10, 0, 0, 0], ~DISC),
    ],
    ids=["black first", "white first", "red on black", "green first"],
)
def test_two_colours_of_a_palette_are_taken_as_they_are_seen(
    tmp_path: Path, palette: list[int], indices: np.ndarray
) -> None:
    for suffix in ("png", "bmp", "tif"):
        picture = Image.fromarray(indices.astype(np.uint8), "P")
        picture.putpalette(palette)
        found = decode(through(tmp_path / f"a.{suffix}", picture), num_classes=1, label_map={255: 1})
        np.testing.assert_array_equal(found[..., 0].T, DISC, err_msg=suffix)


def test_a_palette_of_classes_keeps_its_indices_and_one_that_does_not_begin_with_black_is_refused(
    tmp_path: Path,
) -> None:
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert decode(through(tmp_path / "a.png", picture), num_classes=2)[..., 0].T.tolist() == indices.tolist()
    picture.putpalette([128, 0, 0, 0, 0, 0, 0, 128, 0])
    with pytest.raises(DataError, match="does not begin with black") as caught:
        decode(through(tmp_path / "b.png", picture), num_classes=2)
    assert '"mask": ' in caught.value.fix or '"label_map"' in caught.value.fix


def test_a_mask_in_its_transparency(tmp_path: Path) -> None:
    alpha = DISC.astype(np.uint8) * 255
    for colour in (0, 255):
        flat = np.full(DISC.shape, colour, np.uint8)
        picture = Image.fromarray(np.dstack([flat, flat, flat, alpha]), "RGBA")
        found = decode(through(tmp_path / "a.png", picture), num_classes=1, label_map={255: 1})
        np.testing.assert_array_equal(found[..., 0].T, DISC)
    hidden = np.where(DISC, 255, 255).astype(np.uint8)
    hidden[0, 0] = 7
    picture = Image.fromarray(np.dstack([hidden, hidden, hidden, alpha]), "RGBA")
    found = decode(through(tmp_path / "b.png", picture), num_classes=1, label_map={255: 1})
    np.testing.assert_array_equal(found[..., 0].T, DISC)


def test_equal_planes_are_one_and_one_hot_planes_are_labels() -> None:
    np.testing.assert_array_equal(decode(raw(np.dstack([DISC * np.uint8(1)] * 3)), num_classes=1)[..., 0], DISC)
    for top in (1, 255, True):
        planes = np.dstack([~DISC * np.array(top), DISC * np.array(top)])
        np.testing.assert_array_equal(decode(raw(planes), num_classes=1)[..., 0], DISC)
    with pytest.raises(DataError, match="one-hot planes") as caught:
        decode(raw(np.dstack([~DISC * 1, DISC * 1])), num_classes=4)
    assert '"mask": {"kind": "one_hot"}' in caught.value.fix


def test_one_hot_by_rule() -> None:
    first, second = DISC, DISC & (np.arange(30) > 10)
    no_background = MaskRule(kind="one_hot", background=False)
    found = decode(raw(np.dstack([first, second]).astype(np.uint8)), no_background, 2)
    np.testing.assert_array_equal(found[..., 0], np.where(second, 2, first))
    with pytest.raises(DataError, match="has 2 planes, and one-hot with 2 classes needs 3"):
        decode(raw(np.dstack([first, second]).astype(np.uint8)), MaskRule(kind="one_hot"), 2)


def test_colours_are_refused_with_their_counts_and_read_by_rule() -> None:
    picture = np.zeros((24, 30, 3), np.uint8)
    picture[DISC] = (255, 0, 0)
    picture[0, :5] = (0, 0, 255)
    with pytest.raises(DataError, match=r"colour picture: colour-coded classes \(#000000 561 pixels, #ff0000 154"):
        decode(raw(picture), num_classes=2)
    colours = (((0, 0, 0), 0), ((255, 0, 0), 1), ((0, 0, 255), 2))
    found = decode(raw(picture), MaskRule(kind="colours", colours=colours), 2)
    assert [found[0, 0, 0], found[5, 8, 0], found[20, 20, 0]] == [2, 1, 0]
    picture[1, 1] = (250, 10, 0)
    with pytest.raises(DataError, match="not listed: #fa0a00"):
        decode(raw(picture), MaskRule(kind="colours", colours=colours), 2)
    near = decode(raw(picture), MaskRule(kind="colours", colours=colours, nearest=True), 2)
    assert near[1, 1, 0] == 1


def test_soft_edges_by_threshold() -> None:
    ramp = np.tile(np.linspace(0, 255, 30).astype(np.uint8), (24, 1))
    found = decode(raw(ramp), MaskRule(kind="threshold", above=127), 1)
    np.testing.assert_array_equal(found[..., 0], ramp > 127)
    probabilities = ramp.astype(np.float32) / 255
    with pytest.raises(DataError, match="holds fractions") as caught:
        decode(raw(probabilities), num_classes=1)
    assert '"kind": "threshold", "above": 0.5' in caught.value.fix
    found = decode(raw(probabilities), MaskRule(kind="threshold", above=0.5), 1)
    np.testing.assert_array_equal(found[..., 0], probabilities > 0.5)


def test_instances_by_rule() -> None:
    numbered = np.arange(720, dtype=np.uint16).reshape(24, 30) * 3
    np.testing.assert_array_equal(decode(raw(numbered), MaskRule(kind="instances"), 1)[..., 0], numbered > 0)


@pytest.mark.parametrize("kind", ["values", "threshold", "instances"])
def test_an_ignored_value_is_marked(kind: str) -> None:
    stored = np.array([[0, 1, 77]], np.uint8)
    above = 0.5 if kind == "threshold" else 127
    rule = MaskRule(kind=kind, ignore=77, above=above)  # type: ignore[arg-type]
    assert decode(raw(stored), rule, 1)[0, :, 0].tolist() == [0, 1, IGNORED]


def test_a_value_255_that_nobody_declared_is_not_mistaken_for_an_ignored_one() -> None:
    with pytest.raises(DataError, match="255 is not declared"):
        decode(raw(np.array([[0, 1, 9, 255]], np.uint8)), MaskRule(ignore=9), 1)


def test_numbers_that_are_nearly_whole_are_whole() -> None:
    found = decode(raw(np.array([[0.0, 0.99999, 2.0001]])), num_classes=2)
    assert found[0, :, 0].tolist() == [0, 1, 2]


def test_label_map_reaches_numbers_above_255_and_below_zero_is_refused() -> None:
    assert decode(raw(np.array([[0, 500, 1000]])), num_classes=2, label_map={500: 1, 1000: 2})[0, :, 0].tolist() == [
        0,
        1,
        2,
    ]
    with pytest.raises(DataError, match=r"spans -1\.\.1"):
        decode(raw(np.array([[-1, 1]])), num_classes=1)


def test_one_and_255_in_a_file_are_not_joined_unasked() -> None:
    border = DISC.astype(np.uint8)
    border[4] = 255
    with pytest.raises(DataError, match="255 has two meanings"):
        decode(raw(border), num_classes=1, label_map={255: 1})
    both = decode(raw(border), num_classes=1, label_map={1: 1, 255: 1})
    np.testing.assert_array_equal(both[..., 0], border > 0)
    ignored = decode(raw(border), MaskRule(ignore=255), num_classes=1, label_map={255: 1})
    np.testing.assert_array_equal(ignored[..., 0], np.where(border == 255, IGNORED, border))


def test_a_background_that_is_mapped_away_is_no_two_valued_mask() -> None:
    found = decode(raw(DISC.astype(np.uint8) * 7), num_classes=1, label_map={0: 1})
    np.testing.assert_array_equal(found[..., 0], np.where(DISC, 7, 1))


def test_one_bit_is_the_first_label_whatever_bytes_it_is_kept_in(tmp_path: Path) -> None:
    for suffix in ("png", "tif", "bmp"):
        found = decode(through(tmp_path / f"a.{suffix}", Image.fromarray(DISC)), num_classes=2, label_map={255: 1})
        np.testing.assert_array_equal(found[..., 0].T, DISC, err_msg=suffix)
    assert decode(through(tmp_path / "b.png", Image.fromarray(DISC)), num_classes=2).max() == 1
