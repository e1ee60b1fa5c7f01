# SPDX-License-Identifier: Apache-2.0
"""Every format gives the same picture, in MONAI's axis order, and says which file is bad."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resized, SaveImage
from PIL import Image

from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.files.read import probe, read_raw, read_volume
from dsfedmed.data.reading import label_values
from dsfedmed.errors import ConfigError, DataError
from tests.data.conftest import write_dicom, write_image

LOSSLESS = ("png", "tif", "bmp", "npy", "nii", "nii.gz", "dcm")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_grey_of_every_format(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"scan.{suffix}"
    write_image(path, grey)
    image = LoadSiteImaged("image")({"image": str(path)})["image"]
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image[0].numpy(), grey.T / 255.0, atol=1e-6)
    assert image.meta["filename_or_obj"] == str(path)
    assert probe(path).size == (10, 6)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy", "dcm"])
def test_rgb_of_every_format(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    colour = np.stack([grey, grey[::-1], grey // 2], axis=-1)
    path = tmp_path / f"scan.{suffix}"
    write_image(path, colour)
    image = LoadSiteImaged("image", channels=3)({"image": path})["image"]
    np.testing.assert_allclose(image.numpy(), colour.transpose(2, 1, 0) / 255.0, atol=1e-6)
    assert probe(path).channels == 3


def test_jpeg_is_close(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    write_image(tmp_path / "scan.jpg", grey)
    image = LoadSiteImaged("image")({"image": tmp_path / "scan.jpg"})["image"]
    assert image.shape == (1, 32, 16)
    assert np.abs(image[0].numpy() - grey.T / 255.0).max() < 0.03


def test_a_file_that_was_read_already_stands_for_its_path(tmp_path: Path, grey: np.ndarray) -> None:
    write_image(tmp_path / "flat.png", grey)
    write_image(tmp_path / "deep.nii.gz", np.stack([grey, grey + 3], axis=-1))
    load = LoadSiteImaged("image", channels=3, window=(20, 200))
    for name, options in (("flat.png", {}), ("deep.nii.gz", {"slice_index": 1})):
        by_path = load({"image": tmp_path / name, **options})["image"]
        raw = read_raw(tmp_path / name)
        (tmp_path / name).unlink()
        for given in (raw, [raw]):
            found = load({"image": given, **options})["image"]
            assert torch.equal(found.as_tensor(), by_path.as_tensor())
            assert found.meta["filename_or_obj"] == by_path.meta["filename_or_obj"]


def test_grey_repeats_and_colour_becomes_luminance(tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png", np.full((2, 3), 51, dtype=np.uint8))
    write_image(tmp_path / "red.png", np.tile(np.array([255, 0, 0], dtype=np.uint8), (2, 3, 1)))
    three = LoadSiteImaged("image", channels=3)({"image": tmp_path / "grey.png"})["image"]
    one = LoadSiteImaged("image", channels=1)({"image": tmp_path / "red.png"})["image"]
    assert three.shape == (3, 3, 2)
    assert torch.allclose(three.as_tensor(), torch.tensor(0.2))
    assert torch.allclose(one.as_tensor(), torch.tensor(0.299))


def test_sixteen_bit_is_scaled_by_percentiles(tmp_path: Path) -> None:
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50) * 60
    write_dicom(tmp_path / "scan.dcm", values, "MONOCHROME2")
    Image.fromarray(values).save(tmp_path / "scan.png")
    low, high = np.percentile(values.astype(np.float32), (0.5, 99.5))
    expected = np.clip((values.T - low) / (high - low), 0, 1)
    for name in ("scan.dcm", "scan.png"):
        image = LoadSiteImaged("image")({"image": tmp_path / name})["image"]
        np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-5)


def test_monochrome1_is_turned_and_patient_data_stay_behind(tmp_path: Path, grey: np.ndarray) -> None:
    write_dicom(tmp_path / "scan.dcm", grey, "MONOCHROME1")
    image = LoadSiteImaged("image")({"image": tmp_path / "scan.dcm"})["image"]
    np.testing.assert_allclose(image[0].numpy(), 1.0 - grey.T / 255.0, atol=1e-6)
    assert "Doe" not in str(image.meta)


def test_a_constant_float_image_becomes_zero(tmp_path: Path) -> None:
    write_image(tmp_path / "scan.npy", np.full((4, 4), 7.0))
    assert LoadSiteImaged("image")({"image": tmp_path / "scan.npy"})["image"].abs().max() == 0


def test_slices_share_the_scale_of_their_volume(tmp_path: Path) -> None:
    volume = np.zeros((4, 6, 3), dtype=np.int16)
    volume[..., 1], volume[..., 2] = 50, 100
    write_image(tmp_path / "v.nii.gz", volume)
    load = LoadSiteImaged("image")
    means = [load({"image": tmp_path / "v.nii.gz", "slice_index": z})["image"].mean().item() for z in range(3)]
    assert means == pytest.approx([0.0, 0.5, 1.0], abs=0.02)
    assert load({"image": tmp_path / "v.nii.gz", "slice_index": 2})["image"].meta["patch_index"] == 2
    assert probe(tmp_path / "v.nii.gz").slices == 3


def test_a_volume_is_read_once_for_its_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsfedmed.data.files import read

    write_image(tmp_path / "once.nii", np.random.default_rng(0).integers(0, 9, (4, 6, 5)).astype(np.int16))
    reads = []
    original = read.read_nifti
    monkeypatch.setattr(read, "read_nifti", lambda path: reads.append(path) or original(path))
    for index in range(5):
        LoadSiteImaged("image")({"image": tmp_path / "once.nii", "slice_index": index})
    assert len(reads) == 1
    write_image(tmp_path / "once.nii", np.ones((4, 6, 7), dtype=np.int16))
    assert read_volume(tmp_path / "once.nii").array.shape[2] == 7


@pytest.mark.parametrize("item", [{"slice_index": 9}, {}])
def test_a_wrong_slice_is_refused(tmp_path: Path, item: dict[str, int]) -> None:
    write_image(tmp_path / "v.nii", np.zeros((4, 6, 3), dtype=np.int16))
    with pytest.raises(DataError, match=r"v\.nii"):
        LoadSiteImaged("image")({"image": tmp_path / "v.nii", **item})


def test_labels_keep_palette_indices_bits_and_mapped_values(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "p.png")
    Image.fromarray(indices > 0).save(tmp_path / "b.png")
    write_image(tmp_path / "m.png", (indices > 0).astype(np.uint8) * 255)
    load = LoadSiteImaged("label", label_map={"255": 1})
    assert load({"label": tmp_path / "p.png"})["label"].tolist() == [indices.T.tolist()]
    for name in ("b.png", "m.png"):
        label = load({"label": tmp_path / name})["label"]
        assert label.dtype == torch.uint8
        assert label.tolist() == [(indices > 0).astype(int).T.tolist()]


def test_equal_planes_pass_and_colours_do_not(tmp_path: Path) -> None:
    plane = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    write_image(tmp_path / "equal.npy", np.repeat(plane[..., None], 3, axis=2))
    write_image(tmp_path / "colour.png", np.stack([plane * 255, plane, plane], axis=-1))
    assert LoadSiteImaged("label")({"label": tmp_path / "equal.npy"})["label"].shape == (1, 2, 2)
    with pytest.raises(DataError, match=r"colour\.png.*colour picture"):
        LoadSiteImaged("label")({"label": tmp_path / "colour.png"})


@pytest.mark.parametrize("values", [[[0.5]], [[-1]], [[256, 9]], [[float("nan")]]])
def test_impossible_label_values_are_refused(values: list[list[float]]) -> None:
    with pytest.raises(DataError, match="here"):
        label_values(Path("here"), np.array(values)[..., None])


def test_bad_files_are_named(tmp_path: Path, grey: np.ndarray) -> None:
    write_image(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:600])
    for name in ("junk.png", "junk.npy", "junk.nii.gz", "junk.dcm", "junk.tif"):
        (tmp_path / name).write_bytes(b"this is no picture")
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.save(tmp_path / "four.npy", np.zeros((3, 3, 5)))
    (tmp_path / "scan.xyz").write_bytes(b"")
    (tmp_path / "gone.png").unlink(missing_ok=True)
    names = ["cut.png", "junk.png", "junk.npy", "junk.nii.gz", "junk.dcm", "junk.tif", "objects.npy", "nan.npy"]
    for name in [*names, "four.npy", "scan.xyz", "gone.png"]:
        with pytest.raises(DataError) as caught:
            LoadSiteImaged("image")({"image": tmp_path / name})
        assert caught.value.where.endswith(name)
        assert caught.value.fix


def test_a_missing_label_is_fine_for_inference(tmp_path: Path, grey: np.ndarray) -> None:
    write_image(tmp_path / "scan.png", grey)
    result = LoadSiteImaged(allow_missing_keys=True)({"image": tmp_path / "scan.png", "slice_index": None})
    assert set(result) == {"image"}
    with pytest.raises(KeyError):
        LoadSiteImaged()({"image": tmp_path / "scan.png"})
    with pytest.raises(ConfigError, match="channels"):
        LoadSiteImaged(channels=17)


def test_a_bundle_config_resizes_inverts_and_saves_at_the_own_size(tmp_path: Path, grey: np.ndarray) -> None:
    write_image(tmp_path / "scan.png", grey)
    config = {"load": {"_target_": "dsfedmed.data.LoadSiteImaged", "keys": ["image"], "channels": 1}}
    load = ConfigParser(json.loads(json.dumps(config))).get_parsed_content("load")
    before = Compose([load, Resized("image", (8, 8))])
    item = before({"image": str(tmp_path / "scan.png")})
    assert item["image"].shape == (1, 8, 8)
    item["pred"] = MetaTensor((item["image"] > 0.5).to(torch.uint8), meta=item["image"].meta)
    inverted = Invertd("pred", before, orig_keys="image", nearest_interp=True)(item)["pred"]
    assert inverted.shape == (1, 10, 6)
    SaveImage(
        tmp_path, output_postfix="seg", output_ext=".png", separate_folder=False, print_log=False, output_dtype=np.uint8
    )(inverted)
    saved = np.asarray(Image.open(tmp_path / "scan_seg.png"))
    assert saved.shape[:2] == (6, 10)
    assert saved[-1, -1].max() > saved[0, 0].max()


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_every_plane_of_an_array_is_a_channel(tmp_path: Path, channels: int) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (6, 10, channels), dtype=np.uint8)
    np.save(tmp_path / "a.npy", planes)
    image = LoadSiteImaged("image", channels=channels)({"image": tmp_path / "a.npy"})["image"]
    np.testing.assert_allclose(image.numpy(), planes.transpose(2, 1, 0) / 255.0, atol=1e-6)
    with pytest.raises(DataError, match=rf"a\.npy: it has {channels} channels and 1 are expected"):
        LoadSiteImaged("image", channels=1)({"image": tmp_path / "a.npy"})


def test_one_file_a_channel_in_the_order_of_the_list(tmp_path: Path, grey: np.ndarray) -> None:
    for name, plane in (("t1", grey), ("t2", 255 - grey), ("pd", grey // 2)):
        write_image(tmp_path / f"{name}.png", plane)
    files = [str(tmp_path / f"{name}.png") for name in ("t2", "pd", "t1")]
    image = LoadSiteImaged("image", channels=3)({"image": files})["image"]
    np.testing.assert_allclose(image.numpy(), np.stack([255 - grey.T, grey.T // 2, grey.T]) / 255.0, atol=1e-6)
    write_image(tmp_path / "pd.png", grey[:3])
    with pytest.raises(DataError, match=r"pd\.png: it is 10 x 3 and t2\.png of the same image is 10 x 6"):
        LoadSiteImaged("image", channels=3)({"image": files})


def test_a_window_of_the_item_comes_before_that_of_the_bundle(tmp_path: Path) -> None:
    np.save(tmp_path / "ct.npy", np.array([[-1000.0, -160, 40, 240, 3000]], np.float32))
    load = LoadSiteImaged("image", window=(-1000, 1000))
    assert load({"image": tmp_path / "ct.npy"})["image"].flatten().tolist() == pytest.approx([0, 0.42, 0.52, 0.62, 1])
    item = {"image": tmp_path / "ct.npy", "window": [-160, 240]}
    assert load(item)["image"].flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_a_slice_knows_where_it_lies_and_how_its_volume_is_stored(tmp_path: Path) -> None:
    import nibabel

    affine = np.array([[-2.0, 0, 0, 9], [0, 3, 0, -7], [0, 0, 5, 4], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 6, 3), np.int16), affine), tmp_path / "v.nii")
    meta = LoadSiteImaged("image")({"image": tmp_path / "v.nii", "slice_index": 2})["image"].meta
    assert (meta["patch_index"], meta["frame_slices"]) == (2, 3)
    assert list(meta["frame_shape"]) == [4, 6, 3]
    np.testing.assert_array_equal(meta["frame_affine"], affine)
    np.testing.assert_array_equal(meta["frame_orientation"], [[0, -1], [1, 1], [2, 1]])
    np.testing.assert_allclose(np.asarray(meta["affine"]) @ [0, 0, 0, 1], affine @ [3, 0, 2, 1])


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    """Both would be resized to the network's size, and the mask would be drawn somewhere else without a word."""
    image, mask = tmp_path / f"image.{suffix}", tmp_path / f"mask.{suffix}"
    write_image(image, grey)
    write_image(mask, (grey.T > 100).astype(np.uint8))
    item = {"image": str(image), "label": str(mask), "mask": {"classes": 1}}
    with pytest.raises(DataError, match=rf"mask\.{suffix}: the mask is 6 x 10 and its image 10 x 6"):
        LoadSiteImaged()(item)
    write_image(mask, (grey > 100).astype(np.uint8))
    assert LoadSiteImaged()(item)["label"].shape == (1, 10, 6)
