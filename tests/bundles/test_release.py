# SPDX-License-Identifier: Apache-2.0
"""The release folder: whole, self-consistent, and usable by ``monai.bundle run`` from anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.bundles.checks import check_bundle
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.networks.personal_sam import personal_settings

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "light_unet_segmentation"
FACTS = FederationFacts(channels=3, num_classes=2, label_names=("cell", "nucleus"), nested=True)
SETTINGS = {"image_size": [32, 32], "channels": [4, 8, 8, 8], "loss": "bce"}
METRICS = {"seen sites": {"dice": 0.8125, "hd95": 4.0}, "unseen site": {"dice": 0.7}}


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    definition = BundleDefinition(BUNDLE, {**SETTINGS, "num_classes": 2, "in_channels": 3})
    return definition.network(seed=seed).state_dict()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(BUNDLE, tmp_path_factory.mktemp("run") / "release", state(), SETTINGS, FACTS, METRICS)


def test_release_needs_no_settings(release: Path) -> None:
    definition = BundleDefinition(release)
    assert (definition.in_channels, definition.num_classes, definition.image_size) == (3, 2, (32, 32))
    assert type(definition.loss().loss).__name__ == "BCEWithLogitsLoss"
    report = load_weights(definition.network(), release / "models" / "model.pt")
    assert not report.missing
    plain = torch.load(release / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(plain[key], value) for key, value in state().items())


def test_a_release_passes_every_check_that_committed_bundles_pass(release: Path) -> None:
    results = check_bundle(release, weights=True)
    assert [result for result in results if result.complaints] == []
    assert results[-1].name == "weights"


def test_train_and_inference_define_the_same_network(release: Path) -> None:
    for folder in (BUNDLE, release):
        train, inference = (json.loads((folder / "configs" / f"{n}.json").read_text()) for n in ("train", "inference"))
        for key in ("network_def", "image_size", "in_channels", "num_classes", "nested"):
            assert train[key] == inference[key]


def test_metadata_and_card_say_what_was_measured(release: Path) -> None:
    metadata = json.loads((release / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert metadata["eval_metrics"]["seen sites dice"] == 0.8125
    prediction = metadata["network_data_format"]["outputs"]["pred"]
    assert prediction["channel_def"] == {"0": "background", "1": "cell", "2": "nucleus"}
    assert (prediction["num_channels"], prediction["spatial_shape"]) == (2, [32, 32])
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    card = (release / "docs" / "README.md").read_text()
    assert "| seen sites | 0.8125 | 4 |" in card
    assert "| unseen site | 0.7 |  |" in card
    assert "1 cell, 2 nucleus (nested)" in card
    assert "No weights come with the bundle" not in card
    assert "## MONAI Bundle Commands" in card


def test_a_personal_branch_is_a_release_too(tmp_path: Path) -> None:
    """A block chosen by name, with values inside it: both configurations build it, and the release says so itself."""
    form = personal_settings({"rank": 2, "alpha": 4.0, "layers": ["qkv", "lin1"]}, experts=2, top_k=1)
    settings = {"image_size": [32, 32], "variant": "tiny", **form}
    bundle = ROOT / "bundles" / "promptless_sam_segmentation"
    network = BundleDefinition(bundle, {**settings, "num_classes": 2}).network()
    out = write_release(bundle, tmp_path / "release", network.state_dict(), settings, FACTS, METRICS)
    assert [result for result in check_bundle(out, weights=True) if result.complaints] == []
    assert any("experts" in name for name in BundleDefinition(out).network().state_dict())


def test_a_newer_release_replaces_the_older_whole(tmp_path: Path) -> None:
    write_release(BUNDLE, tmp_path / "release", state(0), SETTINGS, FACTS, METRICS)
    (tmp_path / "release" / "old").write_text("")
    write_release(BUNDLE, tmp_path / "release", state(1), SETTINGS, FACTS, METRICS)
    assert [p.name for p in tmp_path.iterdir()] == ["release"]
    assert not (tmp_path / "release" / "old").exists()


def test_wrong_weights_and_contradictions_leave_the_old_release(tmp_path: Path) -> None:
    out = write_release(BUNDLE, tmp_path / "release", state(), SETTINGS, FACTS, METRICS)
    broken = state()
    next(iter(broken.values()))[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        write_release(BUNDLE, out, broken, SETTINGS, FACTS, METRICS)
    with pytest.raises(CheckpointError, match="another architecture"):
        write_release(BUNDLE, out, {"x": torch.ones(1)}, SETTINGS, FACTS, METRICS)
    with pytest.raises(ConfigError, match="num_classes is 1 in the run and 2 at the sites"):
        write_release(BUNDLE, out, state(), {**SETTINGS, "num_classes": 1}, FACTS, METRICS)
    assert load_weights(BundleDefinition(out).network(), out / "models" / "model.pt").loaded
    assert [p.name for p in tmp_path.iterdir()] == ["release"]


def test_monai_bundle_run_writes_masks_of_the_images_own_size(release: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    sizes = {"wide": (90, 50), "tall": (41, 70)}
    for index, (name, size) in enumerate(sizes.items()):
        array = np.random.default_rng(index).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(array).save(images / f"{name}.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = {"bundle_root": release, "dataset_dir": images, "output_dir": tmp_path / "masks"}
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(release / "configs/inference.json")]
    command += [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "custom"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    network = BundleDefinition(release).network()
    load_weights(network, release / "models" / "model.pt")
    for name, size in sizes.items():
        mask = Image.open(tmp_path / "masks" / f"{name}_mask.png")
        assert (mask.size, mask.mode) == (size, "L")
        item = BundleDefinition(release).preprocessing()({"image": str(images / f"{name}.png")})
        with torch.no_grad():
            logits = network.eval()(item["image"].as_tensor()[None])
        own = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)[0] > 0
        expected = torch.maximum(own[0].int(), own[1].int() * 2).T.numpy()
        assert (np.asarray(mask) == expected).mean() > 0.99


def test_the_window_of_the_sites_is_that_of_the_release(tmp_path: Path) -> None:
    facts = replace(FACTS, window=(-160.0, 240.0))
    release = write_release(BUNDLE, tmp_path / "release", state(), SETTINGS, facts, METRICS)
    for name in ("train", "inference"):
        assert json.loads((release / "configs" / f"{name}.json").read_text())["window"] == [-160.0, 240.0]
    np.save(tmp_path / "ct.npy", np.array([[-1000.0, -160, 40, 240, 3000]], np.float32))
    preprocessing = BundleDefinition(release).preprocessing()
    image = preprocessing({"image": str(tmp_path / "ct.npy")})["image"]
    assert float(image.max()) <= 1.0
    load = preprocessing.transforms[0]
    values = load({"image": str(tmp_path / "ct.npy")})["image"][0].flatten().tolist()
    assert values == pytest.approx([0, 0, 0.5, 1, 1])


def test_sites_have_one_window() -> None:
    from dsfedmed.data.facts import SiteFacts, agreement

    def told(window: tuple[float, float] | None) -> SiteFacts:
        return SiteFacts(
            1, 1, ("lesion",), True, (0, 1), {"training": 4}, (".nii",), (64, 64), (64, 64), {}, None, (), window
        )

    agreed, differing = agreement({"a": told((-160, 240)), "b": told((-160, 240)), "c": told(None)})
    assert agreed.window == (-160, 240)
    assert "its window is None where the others have (-160, 240)" in str(differing["c"])
