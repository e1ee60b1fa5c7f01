# SPDX-License-Identifier: Apache-2.0
"""A release without dsfedmed: the masks are those of `dsfedmed predict`, and other files are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

import dsfedmed
from dsfedmed.bundles.checks import check_bundle
from dsfedmed.bundles.monai_only.document import MONAI_ONLY, complaints, monai_only_document
from dsfedmed.bundles.monai_only.steps import STEPS
from tests.data.files.making import nifti
from tests.prediction.conftest import BUNDLE, COLOUR, GREY, picture, release

BUNDLES = BUNDLE.parent
ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dsfedmed":
            raise ImportError("dsfedmed is not installed here")

sys.meta_path.insert(0, Blocker())
import os
from monai.bundle import run
for folder, images, masks in zip(*[iter(sys.argv[1:])] * 3):
    os.chdir(folder)
    run(config_file="monai_only/inference.json", dataset_dir=images, output_dir=masks)
assert not [name for name in sys.modules if name.startswith("dsfedmed")]
"""
TURNED = np.array([[-0.8, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


def inference(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BUNDLES / name / "configs" / "inference.json").read_text())
    return {**found, **changes}


def plain_images(folder: Path) -> Path:
    (folder / "below").mkdir(parents=True)
    Image.fromarray(picture(30, 44)).save(folder / "grey.png")
    Image.fromarray(picture(21, 33, 5, 3)).save(folder / "below" / "rgb.png")
    np.save(folder / "bytes.npy", picture(25, 19, 2))
    np.save(folder / "floats.npy", picture(17, 23, 6).astype(np.float64) * 3.3 - 7)
    volume = np.stack([picture(21, 18, seed).T for seed in range(4, 7)], -1)
    nifti(folder / "volume.nii.gz", volume.astype(np.int16) * 9 - 400, TURNED)
    return folder


def stored(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj if path.suffix == ".gz" else Image.open(path))


def test_masks_are_those_of_dsfedmed(tmp_path: Path) -> None:
    images, words, models = plain_images(tmp_path / "images"), [], {}
    for name, facts in (("grey", GREY), ("colour", COLOUR)):
        folder = release(tmp_path / name, facts)
        assert [result for result in check_bundle(folder, weights=True) if result.complaints] == []
        words += [str(folder), str(images), str(tmp_path / f"{name}_masks")]
        models[name] = dsfedmed.load(folder)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ALONE, *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, model in models.items():
        masks = tmp_path / f"{name}_masks"
        found = sorted(path.relative_to(masks).as_posix() for path in masks.rglob("*_mask*"))
        assert found == [
            "below/rgb_mask.png",
            "bytes_mask.png",
            "floats_mask.png",
            "grey_mask.png",
            "volume_mask.nii.gz",
        ]
        for mask, image in zip(
            found, ("below/rgb.png", "bytes.npy", "floats.npy", "grey.png", "volume.nii.gz"), strict=True
        ):
            expected = model.predict(images / image).mask
            assert 0 < expected.mean() < expected.max()
            assert np.array_equal(stored(masks / mask), expected), f"{name}: {image}"
        assert np.allclose(nibabel.load(masks / "volume_mask.nii.gz").affine, TURNED)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(picture(8, 9).astype(np.uint16) * 257).save(path)


def turned(path: Path) -> None:
    image = Image.fromarray(picture(8, 9))
    exif = image.getexif()
    exif[274] = 6
    image.save(path, exif=exif)


def volume(path: Path, shape: tuple[int, ...], affine: np.ndarray, kind: Any = np.uint8) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, kind), affine), path)


SIDEWAYS = np.array([[0, 0, 3.0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 1]])
REFUSED = {
    "deep.png": (sixteen_bits, "no PNG of 8 bits"),
    "turned.png": (turned, "turned"),
    "palette.png": (lambda path: Image.fromarray(picture(8, 9)).convert("P").save(path), "no PNG of 8 bits"),
    "alpha.png": (lambda path: Image.fromarray(picture(8, 9)).convert("LA").save(path), "no PNG of 8 bits"),
    "clear.png": (lambda path: Image.fromarray(picture(8, 9)).save(path, transparency=0), "transparent"),
    "jpeg.png": (lambda path: Image.fromarray(picture(8, 9)).save(path, "JPEG"), "no PNG of 8 bits"),
    "photo.jpg": (lambda path: Image.fromarray(picture(8, 9)).save(path), "no PNG, NPY or NIfTI"),
    "datalist.json": (lambda path: path.write_text("{}"), "no PNG, NPY or NIfTI"),
    "two.npy": (lambda path: np.save(path, np.ones((8, 9, 2))), "2 channels, and the network 1"),
    "deep.npy": (lambda path: np.save(path, np.ones((2, 8, 9, 1))), "no image"),
    "nan.npy": (lambda path: np.save(path, np.full((8, 9), np.nan)), "not finite"),
    "bits.npy": (lambda path: np.save(path, np.ones((8, 9), bool)), "no numbers"),
    "flat.nii": (lambda path: volume(path, (8, 9), np.eye(4)), "no volume of one channel"),
    "strip.nii": (lambda path: volume(path, (1, 9, 4), np.eye(4)), "no volume of one channel"),
    "several.nii": (lambda path: volume(path, (8, 9, 4, 2), np.eye(4)), "no volume of one channel"),
    "sagittal.nii": (lambda path: volume(path, (8, 9, 4), SIDEWAYS), "not axial"),
    "coarse.nii": (lambda path: volume(path, (8, 9, 4), np.diag([3.0, 1, 1, 1])), "not axial"),
    "placeless.nii": (lambda path: volume(path, (8, 9, 4), None), "does not say how it lies"),  # type: ignore[arg-type]
}


def test_what_monai_would_misread_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ConfigParser({"in_channels": 1, "window": None, "num_classes": 1, **STEPS, "dataset_dir": str(tmp_path)})
    fault, refuse = parser.get_parsed_content("fault"), parser.get_parsed_content("refuse")
    for name, (make, message) in REFUSED.items():
        make(tmp_path / name)
        assert message in fault(str(tmp_path / name)), name
    assert not any(fault(str(path)) for path in plain_images(tmp_path / "plain").rglob("*.*"))
    with pytest.raises(SystemExit) as ended:
        refuse("a.jpg", "it is no PNG")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "a.jpg: it is no PNG. It needs dsfedmed: `dsfedmed predict`\n"
    with pytest.raises(SystemExit):
        parser.get_parsed_content("initialize")


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(8, 9)).save(tmp_path / name)
    np.save(tmp_path / "a.npy", picture(8, 9))
    parser = ConfigParser({"in_channels": 1, **STEPS, "dataset_dir": str(tmp_path)})
    assert [Path(path).name for path in parser.get_parsed_content("same_name")] == ["a.npy", "a.png"]


@pytest.mark.parametrize("name", ["light_unet_segmentation", "light_flexible_unet_segmentation"])
def test_the_network_is_monai_s(name: str) -> None:
    document = monai_only_document(inference(name))
    assert document is not None
    ours, theirs = (
        ConfigParser({"in_channels": 1, "num_classes": 1, "network_def": found["network_def"]}).get_parsed_content(
            "network_def"
        )
        for found in (inference(name), document)
    )
    assert type(theirs).__module__.startswith("monai.")
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.eval()(image), theirs.eval()(image))


def test_other_networks_sides_and_steps_need_dsfedmed() -> None:
    name = "light_unet_segmentation"
    assert monai_only_document(inference("light_tinysam_segmentation")) is None
    assert monai_only_document(inference("promptless_sam_segmentation")) is None
    assert monai_only_document(inference(name, image_size=[64, 65])) is None
    assert monai_only_document(inference("light_flexible_unet_segmentation", image_size=[48, 64])) is None
    assert monai_only_document(inference(name, preprocessing="@preprocessings::other")) is None


def test_the_file_is_ours_word_for_word_and_is_never_opened_here(tmp_path: Path) -> None:
    folder = release(tmp_path / "release", GREY)
    assert MONAI_ONLY in (folder / "docs" / "README.md").read_text()
    assert list(complaints(folder)) == []
    planted, sign = folder / MONAI_ONLY, tmp_path / "opened"
    changed = {**json.loads(planted.read_text()), "run": [f"$open({str(sign)!r}, 'w').close()"]}
    planted.write_text(json.dumps(changed))
    (fault,) = [result for result in check_bundle(folder, weights=True) if result.complaints]
    assert fault.name == "MONAI alone"
    assert "is not what this version writes" in fault.complaints[0]
    assert dsfedmed.load(folder).predict(picture(20, 20)).mask.shape == (20, 20)
    assert not sign.exists()
