# SPDX-License-Identifier: Apache-2.0
"""NIfTI: the same voxels in any storage give one array; single axes, channels and colours are what they are."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest

from dsfedmed.data.files import niftis
from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.errors import DataError
from tests.data.files.making import nifti

VOLUME = np.random.default_rng(0).integers(0, 900, (9, 7, 5)).astype(np.int16)
AFFINE = np.array([[0.8, 0, 0, -30.0], [0, 0.9, 0, -40], [0, 0, 4.0, 12], [0, 0, 0, 1]])


def stored_as(order: tuple[int, int, int], flips: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the volume and its affine with axes in another order and direction, at the same place."""
    orientation = np.array([[order.index(axis), flips[axis]] for axis in range(3)], float)
    array = nibabel.orientations.apply_orientation(VOLUME, orientation)
    return array, AFFINE @ nibabel.orientations.inv_ornt_aff(orientation, VOLUME.shape)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_one_volume_in_any_storage_is_one_array(
    tmp_path: Path, order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    nifti(tmp_path / "v.nii", *stored_as(order, flips))
    raw = read_raw(tmp_path / "v.nii")
    np.testing.assert_array_equal(raw.array[..., 0], VOLUME)
    np.testing.assert_allclose(raw.affine, AFFINE)
    found = probe(tmp_path / "v.nii")
    assert (found.size, found.slices, found.channels) == ((9, 7), 5, 1)
    assert raw.frame is not None
    back = nibabel.orientations.apply_orientation(raw.array[..., 0], _inverse(raw.frame.orientation))
    np.testing.assert_array_equal(back, stored_as(order, flips)[0])


def _inverse(orientation: np.ndarray) -> np.ndarray:
    back = np.empty_like(orientation)
    for axis, (target, flip) in enumerate(orientation):
        back[int(target)] = (axis, flip)
    return back


def test_slices_run_along_the_coarsest_axis(tmp_path: Path) -> None:
    nifti(tmp_path / "sagittal.nii", VOLUME, np.diag([5.0, 1.0, 1.0, 1.0]))
    raw = read_raw(tmp_path / "sagittal.nii")
    assert raw.array.shape == (7, 5, 9, 1)
    np.testing.assert_array_equal(raw.array[:, :, 3, 0], VOLUME[3])


def test_without_orientation_voxels_are_taken_as_stored(tmp_path: Path) -> None:
    nifti(tmp_path / "v.nii", VOLUME, None)
    raw = read_raw(tmp_path / "v.nii")
    np.testing.assert_array_equal(raw.array[..., 0], VOLUME)
    assert raw.frame is None
    assert "nothing of orientation" in raw.notes[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("placed", [True, False])
def test_a_single_axis_is_dropped_wherever_it_stands(tmp_path: Path, axis: int, placed: bool) -> None:
    flat = VOLUME[:, :, 0]
    nifti(tmp_path / "f.nii", np.expand_dims(flat, axis), np.eye(4) if placed else None)
    raw = read_raw(tmp_path / "f.nii")
    assert not raw.volume
    np.testing.assert_array_equal(raw.array[..., 0], flat)
    assert (probe(tmp_path / "f.nii").size, probe(tmp_path / "f.nii").slices) == ((9, 7), None)


@pytest.mark.parametrize("shape", [(9, 7, 5, 1), (9, 7, 5, 1, 1)])
def test_single_axes_behind_the_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nifti(tmp_path / "v.nii", VOLUME.reshape(shape), AFFINE)
    np.testing.assert_array_equal(read_raw(tmp_path / "v.nii").array[..., 0], VOLUME)


@pytest.mark.parametrize("shape", [(9, 7, 5, 3), (9, 7, 5, 1, 3)])
def test_a_fourth_axis_is_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    four = np.stack([VOLUME, VOLUME + 1, VOLUME * 2], axis=-1)
    nifti(tmp_path / "v.nii", four.reshape(shape), AFFINE)
    raw = read_raw(tmp_path / "v.nii")
    np.testing.assert_array_equal(raw.array, four)
    assert probe(tmp_path / "v.nii").channels == 3


def test_many_volumes_complex_numbers_and_a_broken_affine_are_refused(tmp_path: Path) -> None:
    nifti(tmp_path / "time.nii", np.zeros((3, 3, 3, 40), np.uint8), AFFINE)
    with pytest.raises(DataError, match=r"time\.nii: its shape \(3, 3, 3, 40\) holds 40 volumes"):
        read_raw(tmp_path / "time.nii")
    nifti(tmp_path / "complex.nii", np.zeros((3, 3, 3), np.complex64), AFFINE)
    with pytest.raises(DataError, match="complex"):
        read_raw(tmp_path / "complex.nii")
    image = nibabel.Nifti1Image(VOLUME, AFFINE)
    image.header["srow_x"] = image.header["srow_y"] = 0
    nibabel.save(image, tmp_path / "flat.nii")
    content = bytearray((tmp_path / "flat.nii").read_bytes())
    content[280:312] = bytes(32)
    (tmp_path / "flat.nii").write_bytes(content)
    for read in (read_raw, probe):
        with pytest.raises(DataError, match=r"flat\.nii: its affine"):
            read(tmp_path / "flat.nii")


def test_rgb_voxels_are_three_channels(tmp_path: Path) -> None:
    pixels = np.zeros((6, 5, 1), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for number, name in enumerate("RGB"):
        pixels[name] = np.arange(30, dtype=np.uint8).reshape(6, 5, 1) + number
    nifti(tmp_path / "c.nii.gz", pixels, np.eye(4))
    raw = read_raw(tmp_path / "c.nii.gz")
    assert raw.array.dtype == np.uint8
    assert raw.array[2, 3].tolist() == [13, 14, 15]
    assert probe(tmp_path / "c.nii.gz").channels == 3


def test_scaling_that_says_nothing_keeps_the_type(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME.astype(np.uint8), AFFINE)
    image.header.set_slope_inter(1, 0)
    nibabel.save(image, tmp_path / "v.nii")
    assert read_raw(tmp_path / "v.nii").array.dtype == np.uint8
    big = nibabel.Nifti1Image(VOLUME, AFFINE, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    np.testing.assert_array_equal(read_raw(tmp_path / "big.nii").array[..., 0], VOLUME)


def test_a_header_that_asks_for_too_much_is_refused_before_it_gets_it(tmp_path: Path) -> None:
    header = nibabel.Nifti2Header()
    header.set_data_shape((30000, 30000, 3000))
    header.set_data_dtype(np.uint8)
    header["sform_code"] = 1
    header["srow_x"], header["srow_y"], header["srow_z"] = np.eye(4)[:3]
    header["vox_offset"] = 544
    (tmp_path / "bomb.nii").write_bytes(header.binaryblock + bytes(2000))
    for read in (read_raw, probe):
        with pytest.raises(DataError, match=r"bomb\.nii: it is 30000 x 30000 x 3000 x 1, \d+\.\d GiB"):
            read(tmp_path / "bomb.nii")


def test_a_packed_file_whose_check_sum_is_wrong_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nifti(path, np.random.default_rng(0).integers(0, 9999, (40, 40, 20)).astype(np.int16), AFFINE)
    content = bytearray(path.read_bytes())
    content[-8] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"a\.nii\.gz: it is damaged \(CRC"):
        read_raw(path)


@pytest.mark.parametrize(("written", "named"), [("a.nii.gz", "b.nii"), ("a.nii", "b.nii.gz")])
def test_packed_or_not_is_told_by_content(tmp_path: Path, written: str, named: str) -> None:
    nifti(tmp_path / written, VOLUME, AFFINE)
    right = read_raw(tmp_path / written)
    (tmp_path / written).rename(tmp_path / named)
    np.testing.assert_array_equal(read_raw(tmp_path / named).array, right.array)


def test_qform_and_sform_at_two_places_are_said(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOLUME, AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "one.nii")
    image.set_qform(AFFINE @ np.diag([-1.0, -1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "two.nii")
    assert read_raw(tmp_path / "one.nii").notes == ()
    two = read_raw(tmp_path / "two.nii")
    assert two.notes == ("its qform and sform name two places; the sform is taken",)
    np.testing.assert_array_equal(two.array, read_raw(tmp_path / "one.nii").array)


def test_several_volumes_are_said_to_be_taken_as_channels(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz", np.stack([VOLUME, VOLUME + 1, VOLUME + 2], axis=-1), AFFINE)
    raw = read_raw(tmp_path / "a.nii.gz")
    assert raw.notes == ("its 3 volumes are taken as channels",)
    np.testing.assert_array_equal(raw.array[..., 2], raw.array[..., 0] + 2)


def test_a_spacing_of_zero_leaves_no_line_without_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = nibabel.Nifti1Image(VOLUME, AFFINE)
    nibabel.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[80:92] = bytes(12)  # pixdim 1 to 3
    (tmp_path / "a.nii").write_bytes(bytes(content))
    assert read_raw(tmp_path / "a.nii").slices == VOLUME.shape[2]
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["v", "v.nii", "v.0001", "v.png"])
@pytest.mark.parametrize("packed", [True, False])
def test_of_a_file_with_another_name_no_more_is_read_than_it_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, packed: bool
) -> None:
    """Four megabytes of gzip can hold four gigabytes."""
    monkeypatch.setattr(niftis, "MAX_HEADER_EXTENT", 4096)
    content = nibabel.Nifti1Image(VOLUME, AFFINE).to_bytes() + bytes(30 * 2**20)
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if packed else content)
    tracemalloc.start()
    found = read_raw(tmp_path / name)
    assert probe(tmp_path / name).slices == 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.array[..., 0], VOLUME)
    assert peak < 5 * 2**20
