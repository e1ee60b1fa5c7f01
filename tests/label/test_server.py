# SPDX-License-Identifier: Apache-2.0
"""MONAI Label for real: its server, our app, an HTTP client, and a browser. The tests share one server, in order."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests
import torch
from monai.bundle import run as bundle_run
from PIL import Image

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.networks.checkpoints import save_weights
from tests.bundles.conftest import blocks
from tests.label.conftest import OTHERS, Server

pytestmark = [pytest.mark.monailabel, pytest.mark.timeout(1800)]
GREY, COLOUR = "grey_release_segmentation", "colour_release_segmentation"
OTHER_MODELS = tuple(f"{name}_release_segmentation" for name in OTHERS)
CPU = {"params": json.dumps({"device": "cpu"})}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def expected(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Masks (rows, columns) that `monai.bundle run` gives for the pictures of the folder, with the releases."""
    masks = {}
    others = [(model, "grey0.png") for model in OTHER_MODELS]
    for model, kind in ((GREY, "grey*.png"), (COLOUR, "colour*.png"), (GREY, "scan.nii.gz"), *others):
        folder, release = tmp_path_factory.mktemp("run"), server.releases[model]
        (folder / "images").mkdir()
        for image in server.studies.glob(kind):
            shutil.copy(image, folder / "images")
        bundle_run(
            config_file=str(release / "configs/inference.json"), bundle_root=str(release), device="cpu",
            dataset_dir=str(folder / "images"), output_dir=str(folder / "masks"),
        )  # fmt: skip
        for file in (folder / "masks").iterdir():
            name = file.name.removesuffix("_mask.png")
            masks[f"{model} {name}" if model in OTHER_MODELS else name] = np.asarray(Image.open(file))
    return masks


def mask_of(response: requests.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


def nifti_of(response: requests.Response, folder: Path) -> tuple[np.ndarray, np.ndarray, np.dtype[np.generic]]:
    assert response.status_code == 200, response.text
    (folder / "answer.nii.gz").write_bytes(response.content)
    image = nibabel.load(folder / "answer.nii.gz")
    return np.asarray(image.dataobj).T, image.affine, image.get_data_dtype()


def refusal(response: requests.Response, status: int) -> str:
    assert response.status_code == status, response.text
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    return detail


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.sum(a & b) / (np.sum(a) + np.sum(b)))


def test_info_names_models_labels_trainers_scores_and_strategies(server: Server) -> None:
    info = server.ask("GET", "/info/").json()
    assert set(info["models"]) == {GREY, COLOUR, *OTHER_MODELS} == set(info["trainers"])
    assert info["models"][COLOUR]["labels"] == {"block": 1, "core": 2}
    assert {model["dimension"] for model in info["models"].values()} == {2}
    assert {model["type"] for model in info["models"].values()} == {"segmentation"}
    assert set(info["strategies"]) == {"uncertain", "random", "first"}
    assert set(info["scoring"]) == {"uncertainty", "agreement"}


@pytest.mark.parametrize(("model", "image"), [(GREY, "grey0"), (COLOUR, "colour1")])
def test_a_picture_by_id_and_by_upload_gets_the_bundles_own_mask(
    server: Server, expected: dict[str, np.ndarray], truth: dict[str, np.ndarray], model: str, image: str
) -> None:
    by_id = mask_of(server.ask("POST", f"/infer/{model}?image={image}&output=image", data=CPU))
    with (server.studies / f"{image}.png").open("rb") as stream:
        files = {"file": (f"{image}.png", stream)}
        by_upload = mask_of(server.ask("POST", f"/infer/{model}?output=image", data=CPU, files=files))
    for mask in (by_id, by_upload):
        assert (mask.shape, mask.dtype) == ((30, 44), np.uint8)
        np.testing.assert_array_equal(mask, expected[image])
    assert dice(by_id > 0, truth[image] > 0) == dice(expected[image] > 0, truth[image] > 0) > 0.8


@pytest.mark.parametrize("model", OTHER_MODELS)
def test_every_network_serves_its_own_mask(server: Server, expected: dict[str, np.ndarray], model: str) -> None:
    mask = mask_of(server.ask("POST", f"/infer/{model}?image=grey0&output=image", data=CPU))
    assert (mask.shape, mask.dtype) == ((30, 44), np.uint8)
    np.testing.assert_array_equal(mask, expected[f"{model} grey0"])
    assert set(np.unique(mask)) == {0, 1}


def test_nifti_keeps_size_dtype_and_affine(server: Server, expected: dict[str, np.ndarray], tmp_path: Path) -> None:
    image = server.studies / "scan.nii.gz"
    own = np.asarray(nibabel.load(image).affine)
    by_id = server.ask("POST", f"/infer/{GREY}?image=scan&output=image", data=CPU)
    with image.open("rb") as stream:
        by_upload = server.ask("POST", f"/infer/{GREY}?output=image", data=CPU, files={"file": ("s.nii.gz", stream)})
    for response in (by_id, by_upload):
        mask, affine, dtype = nifti_of(response, tmp_path)
        assert (mask.shape, dtype) == ((30, 44), np.uint8)
        np.testing.assert_allclose(affine, own)
        np.testing.assert_array_equal(mask, expected["scan"])


def test_wrong_requests_get_a_sentence(server: Server, tmp_path: Path) -> None:
    assert f"no model 'none'. There are: {GREY}" in refusal(server.ask("POST", "/infer/none?image=grey0"), 404)
    assert "no image 'nobody'" in refusal(server.ask("POST", f"/infer/{GREY}?image=nobody"), 404)
    assert "lies outside" in refusal(server.ask("POST", f"/infer/{GREY}?image=/etc/hostname"), 422)
    assert "broken.png: it cannot be read" in refusal(server.ask("POST", f"/infer/{GREY}?image=broken"), 422)
    files = {"file": ("note.txt", io.BytesIO(b"no picture"))}
    assert "unknown image format" in refusal(server.ask("POST", f"/infer/{GREY}", files=files), 422)
    assert "no model 'none'" in refusal(server.ask("POST", "/train/none", json={}), 404)


def test_a_volume_gets_one_mask_and_a_slice_its_own_position(server: Server, tmp_path: Path) -> None:
    affine = np.array([[-2.0, 0, 0, 100], [0, 2, 0, -50], [0, 0, 5, -300], [0, 0, 0, 1]])
    values = np.stack([blocks(seed, 1, False)[0].T for seed in (50, 51, 52)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "v.nii.gz")
    content = (tmp_path / "v.nii.gz").read_bytes()

    def answer(**params: Any) -> tuple[np.ndarray, np.ndarray]:
        data = {"params": json.dumps({"device": "cpu", **params})}
        files = {"file": ("v.nii.gz", io.BytesIO(content))}
        response = server.ask("POST", f"/infer/{GREY}?output=image", data=data, files=files)
        mask, found, dtype = nifti_of(response, tmp_path)
        assert dtype == np.uint8
        return mask.T, found

    whole, found = answer()
    assert whole.shape == (44, 30, 3)
    np.testing.assert_allclose(found, affine)
    for index, seed in enumerate((50, 51, 52)):
        assert dice(whole[..., index] > 0, blocks(seed, 1, False)[1].T > 0) > 0.8
        alone, found = answer(slice_index=index)
        np.testing.assert_array_equal(alone[::-1], whole[..., index])  # a slice runs to the right, as it is read
        np.testing.assert_allclose(found[:3, 3], (affine @ [43, 0, index, 1])[:3])


def submit(server: Server, image: str, label: np.ndarray) -> requests.Response:
    stream = io.BytesIO()
    Image.fromarray(label).save(stream, format="png")
    stream.seek(0)
    files = {"label": (f"{image}.png", stream)}
    return server.ask("PUT", f"/datastore/label?image={image}&tag=final", files=files)


def test_labels_that_make_no_sense_are_refused(server: Server) -> None:
    unknown = np.full((30, 44), 7, np.uint8)
    assert "the unknown label 7. Known values are 0, 1, 2." in refusal(submit(server, "grey0", unknown), 422)
    assert "it is 30 x 44, the image 44 x 30" in refusal(submit(server, "grey0", np.zeros((44, 30), np.uint8)), 422)
    files = {"label": ("grey0.png", io.BytesIO(b"nonsense"))}
    answer = server.ask("PUT", "/datastore/label?image=grey0&tag=final", files=files)
    assert "cannot be read" in refusal(answer, 422)


def test_the_most_uncertain_image_is_served_first(server: Server) -> None:
    (server.studies / "broken.png").unlink()
    time.sleep(1.0)  # MONAI Label watches the folder
    scores = server.ask("POST", "/scoring/uncertainty?run_sync=true", json={"model": GREY}).json()
    assert set(scores) == {"grey0", "grey1", "grey2", "colour0", "colour1", "colour2", "scan"}
    assert all(0.0 < value < 1.0 for value in scores.values())
    assert len(set(scores.values())) > 1
    chosen = server.ask("POST", "/activelearning/uncertain").json()
    assert chosen["id"] == max(scores, key=lambda image: scores[image])
    assert server.ask("POST", "/activelearning/random").json()["id"] in scores


def test_training_on_submitted_labels(server: Server, truth: dict[str, np.ndarray]) -> None:
    for image in ("grey0", "grey1", "grey2"):
        assert submit(server, image, truth[image]).status_code == 200
    served = server.workspace / "model" / GREY / "models" / "model.pt"
    release = server.releases[GREY] / "models" / "model.pt"
    before = torch.load(served, weights_only=True)
    request = {"max_epochs": 1, "val_split": 0.34, "device": "cpu", "multi_gpu": False}
    assert server.ask("POST", f"/train/{GREY}", json=request).status_code == 200
    deadline = time.monotonic() + 600
    while (task := server.ask("GET", "/train/").json())["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline, task
        time.sleep(1.0)
    assert task["status"] == "DONE", task["details"]
    after = torch.load(served, weights_only=True)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(before[key], value) for key, value in torch.load(release, weights_only=True).items())


def test_agreement_is_the_dice_of_the_answer(server: Server, truth: dict[str, np.ndarray]) -> None:
    scores = server.ask("POST", "/scoring/agreement?run_sync=true", json={"model": GREY}).json()
    assert set(scores) == {"grey0", "grey1", "grey2"}
    mask = mask_of(server.ask("POST", f"/infer/{GREY}?image=grey1&output=image", data=CPU))
    assert scores["grey1"] == pytest.approx(dice(mask > 0, truth["grey1"] > 0))


def test_a_browser_draws_the_mask(server: Server) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)})")
    model = next(iter(server.ask("GET", "/info/").json()["models"]))
    mask = mask_of(server.ask("POST", f"/infer/{model}?image=colour0&output=image", data=CPU))
    expected = f"colour0: 44 x 30, {int((mask > 0).sum())} pixels in the mask"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=120000", "--dump-dom"]
    for _ in range(3):  # the browser's virtual clock can run out while a busy machine still works on the mask
        page = subprocess.run(
            [*command, f"{server.url}/viewer?image=colour0"], capture_output=True, text=True, timeout=300, check=True
        ).stdout
        if expected in page:
            break
    assert expected in page
    assert '<canvas id="mask" width="44" height="30"' in page


def test_weights_that_are_wrong_or_gone_never_give_a_mask(server: Server) -> None:
    served = server.workspace / "model" / GREY / "models" / "model.pt"
    other = BundleDefinition(server.releases[GREY], {"channels": [4, 8, 8, 8]}).network(seed=0)
    save_weights(other.state_dict(), served)
    ask = f"/infer/{GREY}?image=grey0&output=image"
    assert "does not fit the bundle's network" in refusal(server.ask("POST", ask, data=CPU), 500)
    served.unlink()
    assert "model.pt: no such file" in refusal(server.ask("POST", ask, data=CPU), 500)
