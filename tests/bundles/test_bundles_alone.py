# SPDX-License-Identifier: Apache-2.0
"""The bundles without any federation: train, evaluate and infer on folders of one's own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.transforms import image_items
from dsfedmed.data.datalist import load_datalist
from dsfedmed.errors import CheckpointError, DataError
from dsfedmed.evaluation.protocol import ForwardPass, evaluate
from dsfedmed.networks.checkpoints import load_weights
from tests.bundles.conftest import ALONE, BUNDLES, ROOT, SMALL, blocks, write_site
from tests.data.conftest import write_image


def workflow(bundle: Path, names: list[str], kind: str, **settings: object) -> ConfigWorkflow:
    return ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in names],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        workflow_type=kind,
        bundle_root=str(bundle),
        **{**SMALL.get(bundle.name, {}), **ALONE.get(bundle.name, {}), **settings},
    )


def run(flow: ConfigWorkflow) -> None:
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    flow.finalize()


def scores(path: Path) -> dict[str, float]:
    with path.open() as stream:
        return {row[0]: float(row[1]) for row in csv.reader(stream)}


@pytest.mark.parametrize(("kind", "channels", "classes"), [("site", 1, 1), ("colour_site", 3, 2)])
def test_train_evaluate_and_infer(
    bundle: Path, kind: str, channels: int, classes: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    site: Path = request.getfixturevalue(kind)
    shape = {"in_channels": channels, "num_classes": classes}
    shared = {"dataset_dir": str(site), "ckpt_dir": str(tmp_path / "models"), **shape}
    run(workflow(bundle, ["train"], "train", **shared, epochs=2, batch_size=4))
    weights = tmp_path / "models" / "model.pt"
    definition = BundleDefinition(bundle, {**SMALL.get(bundle.name, {}), **shape})
    network = definition.network()
    assert not load_weights(network, weights).missing
    run(workflow(bundle, ["train", "evaluate"], "train", **shared, output_dir=str(tmp_path / "eval")))
    own = evaluate(network, load_datalist(site), "test", definition.preprocessing(), ForwardPass(classes, 16))
    found = scores(tmp_path / "eval" / "metrics.csv")
    assert found["val_mean_dice"] == pytest.approx(np.mean([np.mean(m.dice) for m in own]), abs=5e-3)
    assert found["val_mean_iou"] == pytest.approx(np.mean([np.mean(m.iou) for m in own]), abs=5e-3)
    assert "i6.png" in (tmp_path / "eval" / "val_mean_dice_raw.csv").read_text()
    masks = {"ckpt_path": str(weights), "output_dir": str(tmp_path / "masks")}
    run(workflow(bundle, ["inference"], "infer", dataset_dir=str(site), **masks, **shape))
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["i6_mask.png", "i7_mask.png"]
    for index in (6, 7):
        mask = np.asarray(Image.open(tmp_path / "masks" / f"i{index}_mask.png"))
        assert (mask.shape, mask.dtype) == ((30, 44), np.uint8)
        assert set(np.unique(mask)) <= set(range(classes + 1))


def test_a_bundle_alone_trains_and_scores_around_ignored_pixels(tmp_path: Path) -> None:
    """The labels' left part is marked 9: it trains, and evaluate.json says what the federation's scores say."""
    bundle = ROOT / "bundles" / "light_unet_segmentation"
    site = write_site(tmp_path / "site", 1, False, (".png", ".png"))
    for path in site.glob("l*.png"):
        label = np.array(Image.open(path))
        label[:, :15] = 9
        write_image(path, label)
    document = json.loads((site / "datalist.json").read_text())
    (site / "datalist.json").write_text(json.dumps({**document, "mask": {"ignore": 9}}))
    shared = {"dataset_dir": str(site), "ckpt_dir": str(tmp_path / "models")}
    run(workflow(bundle, ["train"], "train", **shared, epochs=2, batch_size=4))
    definition = BundleDefinition(bundle, SMALL[bundle.name])
    network = definition.network()
    load_weights(network, tmp_path / "models" / "model.pt")
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
    run(workflow(bundle, ["train", "evaluate"], "train", **shared, output_dir=str(tmp_path / "eval")))
    own = evaluate(network, load_datalist(site), "test", definition.preprocessing(), ForwardPass(1, 16))
    found = scores(tmp_path / "eval" / "metrics.csv")
    assert found["val_mean_dice"] == pytest.approx(np.mean([m.dice[0] for m in own]), abs=5e-3)
    assert found["val_mean_iou"] == pytest.approx(np.mean([m.iou[0] for m in own]), abs=5e-3)


def saved(bundle: Path, folder: Path) -> Path:
    network = BundleDefinition(bundle, SMALL.get(bundle.name)).network(seed=3)
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def test_a_folder_of_nifti_slices_and_volumes(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    write_image(folder / "flat.nii.gz", blocks(0, 1, False)[0])
    volume = np.stack([blocks(seed, 1, False)[0].T for seed in range(3)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([0.5, 0.5, 2.0, 1.0])), folder / "volume.nii.gz")
    out = {"ckpt_path": str(saved(bundle, tmp_path)), "output_dir": str(tmp_path / "masks"), "output_ext": ".nii.gz"}
    run(workflow(bundle, ["inference"], "infer", dataset_dir=str(folder), **out))
    files = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in files] == ["flat_mask.nii.gz", "volume_mask.nii.gz"]
    flat, whole = (nibabel.load(path) for path in files)
    assert (flat.shape, whole.shape) == ((44, 30), (44, 30, 3))
    assert flat.get_data_dtype() == whole.get_data_dtype() == np.uint8
    np.testing.assert_allclose(flat.affine, nibabel.load(folder / "flat.nii.gz").affine)
    np.testing.assert_allclose(whole.affine, np.diag([0.5, 0.5, 2.0, 1.0]))


def test_masks_never_overwrite_each_other(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", blocks(0, 1, False)[0])
    write_image(tmp_path / "a.nii.gz", blocks(1, 1, False)[0])
    with pytest.raises(DataError, match=r"its result would have the name of that of a\."):
        image_items(str(tmp_path))


def test_inference_without_weights_says_what_is_missing(bundle: Path, site: Path, tmp_path: Path) -> None:
    flow = workflow(bundle, ["inference"], "infer", dataset_dir=str(site), ckpt_path=str(tmp_path / "none.pt"))
    with pytest.raises(RuntimeError) as failure:
        flow.initialize()
    cause: BaseException | None = failure.value
    while cause is not None and not isinstance(cause, CheckpointError):
        cause = cause.__cause__
    assert "none.pt: no such file" in str(cause)


COMMANDS = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = ["monai.bundle", *words]
    runpy.run_module("monai.bundle", run_name="__main__")
"""
"""`python -m monai.bundle` once for each list of words, in a process that imports MONAI once."""


def test_the_command_line_from_another_folder(site: Path, tmp_path: Path) -> None:
    commands = []
    for bundle in BUNDLES:
        given = {"bundle_root": bundle, "dataset_dir": site, "ckpt_dir": tmp_path / bundle.name, "epochs": 1,
                 **SMALL.get(bundle.name, {}), **ALONE.get(bundle.name, {})}  # fmt: skip
        words = [part for key, value in given.items() for part in (f"--{key}", str(value))]
        commands.append(["run", "--config_file", str(bundle / "configs/train.json"), *words])
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "custom"), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for bundle in BUNDLES:
        state = torch.load(tmp_path / bundle.name / "model.pt", weights_only=True)
        network = BundleDefinition(bundle, SMALL.get(bundle.name)).network()
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in network.state_dict().items()}
