# SPDX-License-Identifier: Apache-2.0
"""Which folders are models, and that a model from elsewhere cannot run anything."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dsfedmed.bundles.documents import INFERENCE, METADATA
from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.prediction.model import SegmentationBundle, find_release
from dsfedmed.prediction.predictor import Predictor, load
from tests.bundles.hostile import COMPOSE, Witness
from tests.prediction.conftest import BUNDLE, edited

CALL = "__import__('os').system('touch MADE')"
HOSTILE = {
    "a command in the place of the network": ("network_def", {"_target_": "os.system", "command": "touch MADE"}),
    "a command behind a module": (
        "inferer",
        {"_target_": "torch.nn.functional.torch.os.system", "command": "touch MADE"},
    ),
    "an expression": ("preprocessing", f"${CALL}"),
    "a requirement": ("postprocessing", {"_target_": COMPOSE, "transforms": [], "_requires_": f"${CALL}"}),
    "a pickle": ("network_def", {"_target_": "torch.load", "f": "PICKLE", "weights_only": False}),
    "a thing that prediction does not build": ("run", [f"${CALL}"]),
}


def copied(release: Path, folder: Path) -> Path:
    shutil.copytree(release, folder)
    return folder


def test_a_run_and_its_release_are_one_model(grey_run: Path) -> None:
    assert find_release(grey_run) == find_release(grey_run / "release") == grey_run / "release"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((), "it is no run and no release"),
        (("record.json",), "the run has no release yet"),
        (("status.json",), "the run has no release yet"),
    ],
)
def test_other_folders_are_refused(files: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match=reason):
        find_release(tmp_path)
    with pytest.raises(ConfigError, match="there is no such folder"):
        find_release(tmp_path / "none")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_configuration_runs_nothing(kind: str, grey_run: Path, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    place, value = HOSTILE[kind]
    text = json.dumps(value).replace("MADE", str(witness.made)).replace("PICKLE", str(witness.pickle))
    folder = edited(copied(grey_run / "release", tmp_path / "b"), "inference.json", {place: json.loads(text)})
    with pytest.raises(ConfigError, match=r"inference\.json"):
        load(folder)
    assert not witness.disturbed


def test_code_and_links_in_the_folder_are_refused(grey_run: Path, tmp_path: Path) -> None:
    code, link = (copied(grey_run / "release", tmp_path / name) for name in ("code", "link"))
    (code / "scripts.py").write_text("")
    with pytest.raises(ConfigError, match=r"scripts\.py is code"):
        load(code)
    (tmp_path / "elsewhere").write_bytes((link / "models" / "model.pt").read_bytes())
    (link / "models" / "model.pt").unlink()
    (link / "models" / "model.pt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="link out of the bundle"):
        load(link)


def test_weights_that_are_a_program_do_not_run(grey_run: Path, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    folder = copied(grey_run / "release", tmp_path / "b")
    shutil.copy(witness.pickle, folder / "models" / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        load(folder)
    assert not witness.disturbed
    pickle.loads(witness.pickle.read_bytes())
    assert witness.disturbed


def test_weights_are_there_whole_and_finite(grey_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the bundle has no weights \(models/model\.pt\)"):
        load(BUNDLE)
    folder = copied(grey_run / "release", tmp_path / "b")
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    first = next(iter(state))
    for changed, reason in (
        ({key: value for key, value in state.items() if key != first}, "belongs to another architecture: lacks"),
        ({**state, first: torch.full_like(state[first], torch.nan)}, "numbers that are not finite"),
    ):
        torch.save(changed, folder / "models" / "model.pt")
        with pytest.raises(CheckpointError, match=reason):
            load(folder)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("postprocessing", {"_target_": COMPOSE, "transforms": []}, "makes no label map"),
        ("preprocessing", {"_target_": COMPOSE, "transforms": []}, "does not begin with LoadSiteImaged"),
    ],
)
def test_a_bundle_that_makes_no_masks_is_refused(
    key: str, value: object, reason: str, grey_run: Path, tmp_path: Path
) -> None:
    folder = edited(copied(grey_run / "release", tmp_path / "b"), "inference.json", {key: value})
    with pytest.raises(ConfigError, match=reason):
        load(folder)


def test_a_bundle_that_saves_on_the_way_is_refused(grey_run: Path, tmp_path: Path) -> None:
    """It would write copies of the images into the folder that it names."""
    save = {"_target_": "monai.transforms.SaveImaged", "keys": "image", "output_dir": "@output_dir",
            "data_root_dir": "@dataset_dir"}  # fmt: skip
    load_image = {"_target_": "dsfedmed.data.LoadSiteImaged", "keys": "image"}
    own = json.loads((grey_run / "release" / INFERENCE).read_text())["postprocessing"]["transforms"]
    within = {"_target_": COMPOSE, "transforms": [save]}
    for key, inner in (("preprocessing", [load_image, within]), ("postprocessing", [save, *own])):
        folder = copied(grey_run / "release", tmp_path / key)
        edited(folder, "inference.json", {key: {"_target_": COMPOSE, "transforms": inner}})
        with pytest.raises(ConfigError, match="SaveImaged stands where nothing is saved"):
            load(folder)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("in_channels", 99, "in_channels is 99, not 1 to 16"),
        ("num_classes", [1], r"num_classes is \[1\], not 1 to 254"),
        ("network_def", {"_target_": "monai.inferers.SimpleInferer"}, "'network_def' is a SimpleInferer, no network"),
    ],
)
def test_values_of_another_kind_are_refused(
    key: str, value: object, reason: str, grey_run: Path, tmp_path: Path
) -> None:
    preprocessing = {"_target_": COMPOSE, "transforms": [{"_target_": "dsfedmed.data.LoadSiteImaged", "keys": "image"}]}
    folder = copied(grey_run / "release", tmp_path / "b")
    edited(folder, "inference.json", {"preprocessing": preprocessing, key: value})
    with pytest.raises(ConfigError, match=reason):
        load(folder)


def test_a_generator_s_bundle_is_no_model() -> None:
    with pytest.raises(ConfigError, match="makes no label map"):
        load(BUNDLE.with_name("controlnet_generator"))


def test_a_class_of_one_s_own_has_to_be_allowed(grey_run: Path, tmp_path: Path) -> None:
    inferer = {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": [16, 16]}
    folder = edited(copied(grey_run / "release", tmp_path / "b"), "inference.json", {"inferer": inferer})
    with pytest.raises(ConfigError, match="which a bundle may not call"):
        load(folder)
    model = load(folder, also_allowed=["monai.inferers.SlidingWindowInferer"])
    assert model.predict(np.zeros((9, 9), np.uint8)).mask.shape == (9, 9)


@pytest.mark.parametrize("name", ["=1+1", "@sum", "a\x1b[31mb", "x" * 50, ""])
def test_names_of_classes_cannot_be_more_than_names(name: str, grey_run: Path, tmp_path: Path) -> None:
    folder = copied(grey_run / "release", tmp_path / "b")
    metadata = json.loads((folder / METADATA).read_text())
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = name
    (folder / METADATA).write_text(json.dumps(metadata))
    if name.startswith("@"):
        with pytest.raises(ConfigError):
            SegmentationBundle(folder)
    else:
        assert SegmentationBundle(folder).class_names == ("class 1",)


def test_what_a_model_says_of_itself(colour_model: Predictor) -> None:
    assert colour_model.classes == ("cell", "nucleus")
    assert (colour_model.channels, colour_model.bundle.nested) == (3, True)


def test_the_hash_is_that_of_weights_and_configuration(grey_run: Path, tmp_path: Path) -> None:
    one, other = (copied(grey_run / "release", tmp_path / name) for name in ("one", "other"))
    assert SegmentationBundle(one).sha256 == SegmentationBundle(other).sha256
    edited(other, "inference.json", {"window": [0, 100]})
    assert SegmentationBundle(one).sha256 != SegmentationBundle(other).sha256
