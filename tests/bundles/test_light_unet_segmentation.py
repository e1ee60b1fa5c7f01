# SPDX-License-Identifier: Apache-2.0
"""The light U-Net bundle as MONAI runs it: properties, metadata, training, evaluation and inference."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from dsfedmed.errors import CheckpointError
from dsfedmed.networks.bundle import BundleDefinition
from dsfedmed.networks.bundle_rules import check_document

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "light_unet_segmentation"
CONFIGS = ("metadata", "train", "inference", "evaluate")


def load(name: str) -> dict[str, object]:
    document = json.loads((BUNDLE / "configs" / f"{name}.json").read_text())
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight grey pictures of 30 x 44 pixels with a bright block each."""
    folder = tmp_path_factory.mktemp("site")
    random = np.random.default_rng(0)
    items = []
    for index in range(8):
        label = np.zeros((30, 44), np.uint8)
        x, y = random.integers(4, 14, 2)
        label[y : y + 12, x : x + 20] = 1
        image = np.clip(70 + 130 * label + random.normal(0, 6, label.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"i{index}.png")
        Image.fromarray(label).save(folder / f"l{index}.png")
        items.append({"image": f"i{index}.png", "label": f"l{index}.png"})
    document = {"name": "s", "labels": {"0": "background", "1": "block"}, "training": items[:4],
                "validation": items[4:6], "test": items[6:]}  # fmt: skip
    (folder / "datalist.json").write_text(json.dumps(document))
    return folder


def test_layout_follows_the_bundle_specification() -> None:
    names = ["LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf"]
    for name in [*names, *(f"configs/{config}.json" for config in CONFIGS)]:
        assert (BUNDLE / name).is_file(), name
    assert not list(BUNDLE.rglob("*.py")), "a bundle for sites carries no code"
    assert (BUNDLE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_keep_the_rules_and_hold_no_absolute_path(name: str) -> None:
    check_document(load(name), name)
    text = (BUNDLE / "configs" / f"{name}.json").read_text()
    assert not re.search(r'"/(?!/)\w', text)
    assert text == json.dumps(load(name), indent=4) + "\n"


def test_metadata_has_the_schemas_keys_and_fits_the_configs() -> None:
    metadata, train = load("metadata"), load("train")
    required = {"schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version",
                "task", "description", "authors", "copyright", "network_data_format", "changelog", "name",
                "intended_use"}  # fmt: skip
    assert required <= set(metadata)
    assert metadata["version"] in metadata["changelog"]  # type: ignore[operator]
    data_format = metadata["network_data_format"]
    assert isinstance(data_format, dict)
    image, prediction = data_format["inputs"]["image"], data_format["outputs"]["pred"]
    for tensor in (image, prediction):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(tensor)
        assert tensor["spatial_shape"] == train["image_size"]
    assert (image["num_channels"], prediction["num_channels"]) == (train["in_channels"], train["num_classes"])
    assert prediction["channel_def"] == train["channel_def"]


def workflow(names: list[str], kind: str, **settings: object) -> ConfigWorkflow:
    return ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / f"{name}.json") for name in names],
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=str(BUNDLE / "configs" / "logging.conf"),
        workflow_type=kind,
        bundle_root=str(BUNDLE),
        image_size=[32, 32],
        **settings,
    )


def run(flow: ConfigWorkflow) -> None:
    flow.initialize()
    assert not flow.check_properties()
    flow.run()
    flow.finalize()


def test_train_evaluate_and_infer(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models, masks = tmp_path / "models", tmp_path / "masks"
    shared = {"dataset_dir": str(site), "ckpt_dir": str(models)}
    run(workflow(["train"], "train", **shared, epochs=10, val_interval=5, batch_size=4))
    state = torch.load(models / "model.pt", weights_only=True)
    network = BundleDefinition(BUNDLE, {"image_size": [32, 32]}).network()
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }
    run(workflow(["train", "evaluate"], "train", **shared, output_dir=str(tmp_path / "eval")))
    assert "val_mean_dice" in (tmp_path / "eval" / "metrics.csv").read_text()
    inference = {"ckpt_path": str(models / "model.pt"), "output_dir": str(masks)}
    run(workflow(["inference"], "infer", dataset_dir=str(site), **inference))
    assert sorted(path.name for path in masks.iterdir()) == ["i6_mask.png", "i7_mask.png"]
    for index in (6, 7):
        found = np.asarray(Image.open(masks / f"i{index}_mask.png"))
        assert found.shape == (30, 44)
        assert found.dtype == np.uint8
        assert set(np.unique(found)) <= {0, 1}


def test_inference_without_weights_says_what_is_missing(site: Path, tmp_path: Path) -> None:
    flow = workflow(["inference"], "infer", dataset_dir=str(site), ckpt_path=str(tmp_path / "none.pt"))
    with pytest.raises(RuntimeError) as failure:
        flow.initialize()
    cause: BaseException | None = failure.value
    while cause is not None and not isinstance(cause, CheckpointError):
        cause = cause.__cause__
    assert cause is not None
    assert "none.pt: no such file" in str(cause)
