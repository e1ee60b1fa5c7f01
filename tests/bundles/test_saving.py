# SPDX-License-Identifier: Apache-2.0
"""Masks go back to the place of their images: flat pictures, and the slices of volumes as one volume."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor, decollate_batch, list_data_collate
from nibabel.orientations import apply_orientation
from PIL import Image

from dsfedmed.bundles.rules import check_document
from dsfedmed.bundles.saving import RequireWholeVolumes, SaveMasksd, result_stem
from dsfedmed.data import LoadSiteImaged
from dsfedmed.errors import ConfigError, DataError
from tests.data.conftest import write_image

AFFINE = np.array([[2.0, 0.1, 0, -100], [0, 2, 0.2, -50], [0.3, 0, 5, -300], [0, 0, 0, 1]])
RANDOM = np.random.default_rng(0)


def saver(folder: Path, extension: str = ".png") -> SaveMasksd:
    return SaveMasksd("pred", folder / "masks", folder, extension)


def mask_of(values: np.ndarray, meta: Mapping[str, Any]) -> dict[Any, Any]:
    return {"pred": MetaTensor(torch.from_numpy(values.copy())[None], meta=dict(meta))}


def volume(folder: Path, name: str, shape: tuple[int, int, int] = (5, 4, 3)) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Write a volume; return a mask for it, and the metadata of its slices as the loader gives them."""
    folder.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(RANDOM.integers(0, 90, shape).astype(np.int16), AFFINE), folder / name)
    load = LoadSiteImaged("image")
    loaded = [load({"image": str(folder / name), "slice_index": z})["image"].meta for z in range(shape[2])]
    return RANDOM.integers(0, 3, shape, dtype=np.uint8), loaded


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nibabel.load(path)
    assert image.get_data_dtype() == np.uint8
    return np.asarray(image.dataobj), image.affine


def test_slices_of_two_volumes_in_any_order_become_two_volumes(tmp_path: Path) -> None:
    save, given = saver(tmp_path), {name: volume(tmp_path, name) for name in ("a.nii.gz", "b.c.nii")}
    for z, name in ((2, "a.nii.gz"), (1, "b.c.nii"), (0, "a.nii.gz"), (0, "b.c.nii"), (2, "b.c.nii")):
        values, meta = given[name]
        save(mask_of(values[..., z], meta[z]))
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["b.c_mask.nii.gz"]
    save(mask_of(given["a.nii.gz"][0][..., 1], given["a.nii.gz"][1][1]))
    save.finish()
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["a_mask.nii.gz", "b.c_mask.nii.gz"]
    for name, (values, _) in given.items():
        written, affine = stored(tmp_path / "masks" / f"{result_stem(Path(name))}_mask.nii.gz")
        np.testing.assert_array_equal(written, values)
        np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
        assert nibabel.load(tmp_path / "masks" / "a_mask.nii.gz").header.get_xyzt_units()[0] == "mm"


def test_every_orientation_is_undone(tmp_path: Path) -> None:
    values, (meta, *_) = volume(tmp_path, "v.nii.gz", (3, 4, 5))
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1.0, -1.0), repeat=3):
            orientation = np.array([axes, flips], dtype=float).T
            read, save = apply_orientation(values, orientation), saver(tmp_path, ".nii")
            frame = {"frame_orientation": orientation, "frame_slices": read.shape[2]}
            for z in range(read.shape[2]):
                save(mask_of(read[..., z], {**meta, **frame, "patch_index": z}))
            save.finish()
            np.testing.assert_array_equal(stored(tmp_path / "masks" / "v_mask.nii")[0], values)


def test_metadata_survive_batches(tmp_path: Path) -> None:
    (first, meta), (second, more), save = volume(tmp_path, "a.nii"), volume(tmp_path, "b.nii"), saver(tmp_path)
    items = [mask_of(values[..., z], m[z]) for values, m in ((first, meta), (second, more)) for z in range(3)]
    for batch in (items[:4], items[4:]):
        for item in decollate_batch(list_data_collate(batch)):
            save(item)
    save.finish()
    np.testing.assert_array_equal(stored(tmp_path / "masks" / "a_mask.nii.gz")[0], first)
    np.testing.assert_array_equal(stored(tmp_path / "masks" / "b_mask.nii.gz")[0], second)


def test_a_slice_whose_number_got_lost_among_flat_pictures_is_refused(tmp_path: Path) -> None:
    values, meta = volume(tmp_path, "v.nii", (4, 4, 2))
    write_image(tmp_path / "p.png", np.zeros((4, 4), np.uint8))
    flat = LoadSiteImaged("image")({"image": str(tmp_path / "p.png")})["image"].meta
    mixed = list_data_collate([mask_of(values[..., 0], meta[0]), mask_of(values[..., 0], flat)])
    with pytest.raises(DataError, match=r"v\.nii: its mask is 4 x 4 and the image 4 x 4 x 2\. .*batch size of 1"):
        saver(tmp_path)(decollate_batch(mixed)[0])


def test_a_run_that_ends_without_all_slices_ends_with_an_error(tmp_path: Path) -> None:
    values, meta = volume(tmp_path, "v.nii", (4, 4, 4))
    save = saver(tmp_path)

    def run(slices: list[int]) -> None:
        engine = Engine(lambda _, z: save(mask_of(values[..., z], meta[z])))
        RequireWholeVolumes(save).attach(engine)
        engine.run(slices, max_epochs=1)

    with pytest.raises(DataError, match=r"v\.nii: of its 4 slices 2 never came \(0, 2\): its mask is not written"):
        run([1, 3])
    assert not (tmp_path / "masks").exists()
    with pytest.raises(DataError, match="3 never came"):  # what came before is of a run that was broken off
        run([0])
    run([3, 2, 0, 1])
    np.testing.assert_array_equal(stored(tmp_path / "masks" / "v_mask.nii.gz")[0], values)


@pytest.mark.parametrize("extension", [".png", ".tif", ".tiff", ".bmp", ".npy", ".nii", ".nii.gz"])
def test_flat_pictures_keep_orientation_and_values(extension: str, tmp_path: Path) -> None:
    write_image(tmp_path / "deep" / "scan.v2.png", np.zeros((2, 3), np.uint8))
    meta = LoadSiteImaged("image")({"image": str(tmp_path / "deep" / "scan.v2.png")})["image"].meta
    values = np.array([[0, 1], [2, 255], [4, 5]], np.uint8)  # (x, y)
    item = mask_of(values, meta)
    assert saver(tmp_path, extension)(item) == item
    path = tmp_path / "masks" / "deep" / f"scan.v2_mask{extension}"
    if extension.startswith(".nii"):
        np.testing.assert_array_equal(stored(path)[0], values)
    else:
        found = np.load(path) if extension == ".npy" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(found, values.T)
        assert found.dtype == np.uint8
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_flat_nifti_keeps_its_affine(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2), np.int16), AFFINE), tmp_path / "flat.nii.gz")
    meta = LoadSiteImaged("image")({"image": str(tmp_path / "flat.nii.gz")})["image"].meta
    saver(tmp_path, ".nii.gz")(mask_of(np.ones((3, 2), np.uint8), meta))
    written, affine = stored(tmp_path / "masks" / "flat_mask.nii.gz")
    assert written.tolist() == [[1, 1], [1, 1], [1, 1]]
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)


def test_a_picture_that_was_reduced_gets_a_mask_of_its_own_size(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", np.zeros((4, 6), np.uint8))
    meta = {"filename_or_obj": str(tmp_path / "large.png"), "original_affine": np.eye(4), "full_shape": (6, 4)}
    saver(tmp_path)(mask_of(np.array([[0, 1], [2, 0], [3, 1]], np.uint8), meta))
    assert np.asarray(Image.open(tmp_path / "masks" / "large_mask.png")).tolist() == [
        [0, 0, 2, 2, 3, 3], [0, 0, 2, 2, 3, 3], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1],
    ]  # fmt: skip


def test_a_flat_nifti_that_was_turned_while_reading_is_turned_back(tmp_path: Path) -> None:
    """Stored (3, 1, 2), read as (2, 3) with x against its direction."""
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 1), np.int16), AFFINE), tmp_path / "flat.nii.gz")
    frame = {
        "frame_shape": (3, 1, 2), "frame_affine": AFFINE, "frame_orientation": np.array([[1, -1], [2, 1], [0, 1]]),
    }  # fmt: skip
    meta = {"filename_or_obj": str(tmp_path / "flat.nii.gz"), "original_affine": np.eye(4), **frame}
    saver(tmp_path, ".nii.gz")(mask_of(np.array([[1, 2, 3], [4, 5, 6]], np.uint8), meta))
    written, affine = stored(tmp_path / "masks" / "flat_mask.nii.gz")
    assert written[:, 0].tolist() == [[3, 6], [2, 5], [1, 4]]
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("moved", [False, True])
def test_a_stack_that_knows_no_place_has_the_axes_as_read(tmp_path: Path, moved: bool) -> None:
    (tmp_path / "stack.tif").write_bytes(b"never opened")
    values, save = RANDOM.integers(0, 3, (4, 3, 2), dtype=np.uint8), saver(tmp_path)
    meta = {"filename_or_obj": str(tmp_path / "stack.tif"), "frame_slices": 2}
    for z in (1, 0):
        affine = np.eye(4)
        affine[2, 3] = z if moved else 0
        save(mask_of(values[..., z], {**meta, "patch_index": z, "original_affine": affine}))
    written, affine = stored(tmp_path / "masks" / "stack_mask.nii.gz")
    np.testing.assert_array_equal(written, values)
    np.testing.assert_array_equal(affine, np.eye(4))
    with pytest.raises(DataError, match=r"stack\.tif: its metadata lack frame_shape, frame_affine, frame_orientation"):
        save(mask_of(values[..., 0], {**meta, "patch_index": 0, "original_affine": AFFINE}))


def test_names_without_a_suffix_of_images_stay_whole() -> None:
    names = ("IM.0001", "a.b.png", "scan.NII.GZ", "scan", "1.2.840.5.dcm", ".hidden")
    assert [result_stem(Path(name)) for name in names] == ["IM.0001", "a.b", "scan", "scan", "1.2.840.5", ".hidden"]


@pytest.mark.parametrize(
    ("values", "meta", "reason"),
    [
        (np.zeros((4, 5), np.uint8), {}, "the mask of slice 0 is 4 x 5, the volume 5 x 4 x 3"),
        (np.full((5, 4), 0.5), {}, "not a label map"),
        (np.full((5, 4), 256), {}, "not a label map"),
        (np.zeros((5, 4), np.uint8), {"patch_index": 3}, "slice 3"),
        (np.zeros((5, 4), np.uint8), {"frame_slices": 4}, "4 slices as read, but its axes say 3"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    values: np.ndarray, meta: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"v\\.nii: .*{reason}"):
        saver(tmp_path)(mask_of(values, {**volume(tmp_path, "v.nii")[1][0], **meta}))


def test_what_says_nothing_of_its_image_is_refused(tmp_path: Path) -> None:
    values, (meta, *_) = volume(tmp_path / "images", "v.nii")
    with pytest.raises(DataError, match="which image"):
        saver(tmp_path)({"pred": torch.zeros(1, 2, 2)})
    write_image(tmp_path / "large.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match="its mask is 3 x 2 and the image 6 x 4"):
        saver(tmp_path)(mask_of(np.zeros((3, 2), np.uint8), {"filename_or_obj": str(tmp_path / "large.png")}))
    with pytest.raises(DataError, match="lack frame_shape"):
        saver(tmp_path)(mask_of(values[..., 0], {k: v for k, v in meta.items() if k != "frame_shape"}))
    elsewhere = SaveMasksd("pred", tmp_path / "masks", tmp_path / "others")
    for z in (0, 1):
        elsewhere(mask_of(values[..., z], {**meta, "patch_index": z}))
    with pytest.raises(DataError, match="does not lie in"):
        elsewhere(mask_of(values[..., 2], {**meta, "patch_index": 2}))
    with pytest.raises(ConfigError, match="does not keep label values"):
        saver(tmp_path, ".jpg")


def test_a_bundle_may_not_choose_where_masks_go() -> None:
    target = {"_target_": "dsfedmed.bundles.saving.SaveMasksd", "keys": "pred", "data_root_dir": "@dataset_dir"}
    check_document({"saver": {**target, "output_dir": "@output_dir"}}, "x.json")
    with pytest.raises(ConfigError, match="saver::output_dir"):
        check_document({"saver": {**target, "output_dir": "elsewhere"}}, "x.json")
