# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed check-bundle`: nothing of a bundle that breaks the rules runs; a party's own classes by its own file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.errors import ConfigError
from dsfedmed.label.workspace import prepare

BUNDLE = Path(__file__).parents[2] / "bundles" / "light_unet_segmentation"


def copy_with(folder: Path, name: str, change: dict[str, object]) -> Path:
    shutil.copytree(BUNDLE, folder)
    path = folder / "configs" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return folder


def test_a_bundle_that_would_run_a_command_is_refused_unopened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"_target_": "torch.nn.functional.torch.os.system", "command": f"touch {tmp_path / 'made'}"}
    folder = copy_with(tmp_path / "b", "inference.json", {"network_def": run})
    assert main(["check-bundle", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "FAILED  rules" in said
    assert "network_def::_target_ is 'torch.nn.functional.torch.os.system'" in said
    assert "input and output" not in said
    with pytest.raises(ConfigError, match="rules"):
        prepare([folder], tmp_path / "app")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "app" / "model").exists()


def test_a_party_s_own_classes_stand_in_its_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy_with(tmp_path / "b", "train.json", {"loss": {"_target_": "monai.losses.FocalLoss"}})
    local = tmp_path / "local"
    assert main(["check-bundle", str(folder)]) == 1
    assert main(["check-bundle", str(folder), "--local", str(local)]) == 2
    assert "dsfedmed.yaml: no such file" in capsys.readouterr().err
    local.mkdir()
    (local / "dsfedmed.yaml").write_text("bundle_classes: [monai.losses.FocalLoss]\n")
    assert main(["check-bundle", str(folder), "--local", str(local)]) == 0


def test_a_release_of_an_older_version_is_told_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"_target_": "dsfedmed.networks.bundle_transforms.ChannelsToLabeld", "keys": "pred"}
    folder = copy_with(tmp_path / "b", "inference.json", {"postprocessing": old})
    assert main(["check-bundle", str(folder)]) == 1
    assert "has moved. Write dsfedmed.bundles.transforms.ChannelsToLabeld" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {}}, "'image_size' is not declared in configs/metadata.json"),
        ({"settings": {"x": {"type": "boolean", "description": "d", "sets": ["no::such"]}}}, "has no 'no::such'"),
        ({"settings": {"x": {"type": "string", "description": "d", "sets": ["loss"]}}}, "'choices' is a required"),
    ],
)
def test_declarations_that_do_not_fit_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], said: str
) -> None:
    folder = copy_with(tmp_path / "b", "metadata.json", change)
    assert main(["check-bundle", str(folder)]) == 1
    assert said in capsys.readouterr().out


def test_a_network_that_cannot_be_run_is_a_complaint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "b"
    shutil.copytree(BUNDLE, folder)
    for path in (folder / "configs" / "train.json", folder / "configs" / "inference.json"):
        document = json.loads(path.read_text())
        document["network_def"]["strides"] = [0, 2, 2]
        path.write_text(json.dumps(document))
    assert main(["check-bundle", str(folder)]) == 1
    assert "it cannot be built or run (ZeroDivisionError: " in capsys.readouterr().out
