# SPDX-License-Identifier: Apache-2.0
"""Values that make MONAI run, read, fetch or write what a bundle has no business with, and a witness that notices."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM = "torch.nn.functional.torch.os.system"
COMPOSE = "monai.transforms.Compose"
TOUCH = "touch MADE"
CALL = f"__import__('os').system('{TOUCH}')"


class Witness:
    """A folder in which one file must stay and another must not appear."""

    def __init__(self, folder: Path) -> None:
        self.stays, self.made, self.pickle = folder / "stays", folder / "made", folder / "weights.pt"
        self.stays.mkdir(parents=True)
        self.pickle.write_bytes(pickle.dumps(_Touch(self.made)))

    @property
    def disturbed(self) -> bool:
        return self.made.exists() or not self.stays.exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@dataclass(frozen=True)
class Hostile:
    """A value at one place of train.json; MADE, STAYS and PICKLE stand for the witness's paths.

    Attributes:
        name: of the test.
        place: configuration id that gets the value.
        part: what a party would build then.
        value: what is there.
        runs: MONAI alone, without our rules, disturbs the witness with it.
    """

    name: str
    place: str
    part: str
    value: Any
    runs: bool = True

    def aimed_at(self, witness: Witness) -> Any:
        """Return the value with the witness's paths."""
        return _filled(self.value, {"MADE": witness.made, "STAYS": witness.stays, "PICKLE": witness.pickle})


def _filled(node: Any, paths: dict[str, Path]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, paths) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, paths) for value in node]
    for name, path in paths.items():
        node = node.replace(name, str(path)) if isinstance(node, str) else node
    return node


def _target(name: str, place: str = "learning_rate", part: str = "optimizer", **arguments: Any) -> Hostile:
    return Hostile(name, place, part, {"_target_": name, **(arguments or {"command": TOUCH})})


def _special(key: str, value: Any, runs: bool = True) -> Hostile:
    node = {"_target_": COMPOSE, "transforms": [], key: value}
    return Hostile(f"{key} {value}"[:20], "augmentations::standard", "augmentation", node, runs)


def _text(value: str, runs: bool = True) -> Hostile:
    return Hostile(value[:24], "learning_rate", "optimizer", value, runs)


def _quiet(name: str, node: Any, place: str = "augmentations::standard") -> Hostile:
    return Hostile(name, place, "augmentation", node, runs=False)


SAVE = {"_target_": "monai.transforms.SaveImaged", "keys": "pred", "data_root_dir": "@dataset_dir"}
HOSTILE = (
        _target(SYSTEM, "losses::dice_bce::smooth_nr", "loss"),
        _target("monai.networks.nets.unet.torch.os.system", "network_def::dropout", "network_def"),
        _target("monai.transforms.utils.torch.os.system"),
        _target("monai.data.utils.os.system"),
        _target("dsfedmed.bundles.release.os.system"),
        _target("os.system"),
        _target("subprocess.run", args=["touch", "MADE"]),
        _target("dsfedmed.bundles.release.shutil.rmtree", path="STAYS"),
        _target("dsfedmed.networks.checkpoints.save_weights", state={}, path="MADE"),
        _target("torch.load", f="PICKLE", weights_only=False),
        _target("monai.data.utils.torch.load", f="PICKLE", weights_only=False),
        _text(f"${CALL}"),
        _text(f"$(lambda: {CALL})()"),
        _text(f"$[{CALL} for _ in (1,)]"),
        _text(f"$monai.data.utils.os.system('{TOUCH}')"),
        _text("$open('MADE', 'w')"),
        _text("$import os", runs=False),
        _text("$@network.__class__", runs=False),
        _text("$'@or'", runs=False),
        _text("$'/etc/' + 'passwd'", runs=False),
        _text("%MADE.JSON", runs=False),
        _text("%../other.yaml::learning_rate", runs=False),
        _text("@::epochs", runs=False),
        _special("_requires_", f"${CALL}"),
        _special("_desc_", f"${CALL}"),
        _special("_mode_", "debug", runs=False),
        _special("_mode_", "callable", runs=False),
        _special("_disabled_", f"${CALL}"),
        _special("_debug_", True, runs=False),
        _special("map_items::x", {"_target_": SYSTEM, "command": TOUCH}, runs=False),
        _quiet("Lambdad", {"_target_": "monai.transforms.Lambdad", "keys": "image", "func": "@loss"}),
        _quiet("Lambda", {"_target_": "Lambda", "func": "@loss"}),
        _quiet("SaveImage", {"_target_": "monai.transforms.SaveImage", "output_dir": "MADE"}),
        _quiet("SaveImaged elsewhere", {**SAVE, "output_dir": "elsewhere"}),
        _quiet("SaveImaged writer", {**SAVE, "output_dir": "@output_dir", "writer": "os.system"}),
        _quiet("URL", {"_target_": "monai.apps.utils.download_url", "url": "http://127.0.0.1:9/x", "filepath": "x"}),
        _quiet("hub", {"_target_": "torch.hub.load_state_dict_from_url", "url": "http://127.0.0.1:9/x"}),
        _quiet("pretrained", {"_target_": "monai.networks.nets.FlexibleUNet", "in_channels": 3, "out_channels": 1,
                             "backbone": "resnet18", "pretrained": True}),
        _quiet("pretrained at any size", {"_target_": "dsfedmed.networks.any_size.AnySizeFlexibleUNet",
                                         "backbone": "resnet18", "pretrained": True}),
        _quiet("no name", {"_target_": [SYSTEM]}),
        _quiet("a reference for a name", {"_target_": "@loss"}),
        _quiet("absolute", "/etc/passwd", "dataset_dir"),
        _quiet("above", "a/../../b", "dataset_dir"),
        _quiet("address", "https://example.org/x", "dataset_dir"),
        _quiet("home", "~/x", "dataset_dir"),
        _quiet("root", "elsewhere", "bundle_root"),
)  # fmt: skip
