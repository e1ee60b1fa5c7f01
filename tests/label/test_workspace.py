# SPDX-License-Identifier: Apache-2.0
"""What is prepared before MONAI Label starts: checked copies, the command, and refusals; and the scores' numbers."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.cli.main import main
from dsfedmed.errors import ConfigError
from dsfedmed.label.command import python_of, server_command, server_environment
from dsfedmed.label.measures import mean_dice, mean_entropy
from dsfedmed.label.workspace import model_name, prepare
from dsfedmed.networks.checkpoints import save_weights

BUNDLE = Path(__file__).parents[2] / "bundles" / "light_unet_segmentation"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A bundle with weights, in a folder called release."""
    folder = tmp_path / "demo" / "release"
    shutil.copytree(BUNDLE, folder)
    save_weights(BundleDefinition(folder).network(seed=0).state_dict(), folder / "models/model.pt")
    return folder


def test_names_end_with_the_task() -> None:
    assert model_name(BUNDLE) == "light_unet_segmentation"
    assert model_name(Path("runs/demo/release")) == "demo_release_segmentation"


def test_copies_are_served_and_kept_on_request(release: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    assert prepare([release], app) == ["demo_release_segmentation"]
    served = app / "model" / "demo_release_segmentation" / "models" / "model.pt"
    assert "LabelApp" in (app / "main.py").read_text()
    trained = BundleDefinition(release).network(seed=1).state_dict()
    save_weights(trained, served)
    prepare([release], app, keep=True)
    key = next(iter(trained))
    assert torch.equal(torch.load(served, weights_only=True)[key], trained[key])
    prepare([release], app)
    assert not torch.equal(torch.load(served, weights_only=True)[key], trained[key])


def test_bundles_that_cannot_answer_are_refused(release: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    with pytest.raises(ConfigError, match=r"weights: .*model\.pt: no such file"):
        prepare([BUNDLE], app)
    with pytest.raises(ConfigError, match="two bundles are called"):
        prepare([release, release], app)
    with pytest.raises(ConfigError, match="no bundle was given"):
        prepare([], app)
    save_weights({"x": torch.ones(1)}, release / "models/model.pt")
    with pytest.raises(ConfigError, match="another architecture"):
        prepare([release], app)
    assert not (app / "model").exists()


def test_the_server_listens_on_this_machine_only_unless_told(tmp_path: Path) -> None:
    command = server_command(Path("python"), tmp_path, tmp_path, ["a", "b"])
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[-2:] == ["models", "a,b"]
    assert server_environment(tmp_path)["PYTHONPATH"] == str(tmp_path)


def test_a_missing_environment_or_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"no MONAI Label environment.*make label-setup"):
        python_of(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    with pytest.raises(ConfigError, match="MONAI Label is not installed"):
        python_of(tmp_path)
    (tmp_path / "lib/python3.11/site-packages/monailabel").mkdir(parents=True)
    given = ["label-server", str(BUNDLE), "--environment", str(tmp_path)]
    assert main([*given, "--studies", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_entropy_by_hand() -> None:
    assert mean_entropy(torch.full((2, 3, 3), 0.5)) == pytest.approx(1.0)
    assert mean_entropy(torch.tensor([0.0, 1.0])) == pytest.approx(0.0, abs=1e-9)
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert mean_entropy(torch.tensor([0.25, 0.5])) == pytest.approx((quarter + 1) / 2)


def test_dice_by_hand() -> None:
    predicted = torch.tensor([[[0, 1, 2, 2]]], dtype=torch.uint8)
    submitted = torch.tensor([[[0, 1, 1, 2]]], dtype=torch.uint8)
    assert mean_dice(predicted, submitted, 2) == pytest.approx((1 + 2 / 3) / 2)  # nested: 3 of 3, then 1 of 2 and 1
    assert mean_dice(predicted, submitted, 2, nested=False) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert mean_dice(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), 3) == 1.0
