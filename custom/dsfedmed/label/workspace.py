# SPDX-License-Identifier: Apache-2.0
"""The folder that MONAI Label starts from: an app of one line, and checked copies of the bundles.

Copies, because ``/train`` overwrites ``models/model.pt``: a run's release and the committed bundles stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from dsfedmed.bundles.checks import WEIGHTS, require_bundle
from dsfedmed.errors import ConfigError
from dsfedmed.store.files import write_text

MAIN = '''# SPDX-License-Identifier: Apache-2.0
"""The app that MONAI Label looks for."""

from dsfedmed.label.app import LabelApp

__all__ = ["LabelApp"]
'''
SUFFIX = "_segmentation"
LEFT_OUT = ("__pycache__", "eval", "output", "*.ts", "*.onnx")


def model_name(bundle: Path) -> str:
    """Return the name under which a bundle is served; MONAI Label takes the task from its last word.

    A committed bundle keeps its folder's name; ``runs/demo/release`` becomes ``demo_release_segmentation``.
    """
    folder = bundle.resolve()
    if folder.name.endswith(SUFFIX):
        return folder.name
    return f"{folder.parent.name}_{folder.name}{SUFFIX}"


def prepare(
    bundles: Sequence[Path], folder: Path, *, keep: bool = False, also_allowed: Collection[str] = ()
) -> list[str]:
    """Write the app folder and return the names of its models.

    Args:
        bundles: bundle folders with weights (a run's ``release/``, or a bundle after training).
        folder: the app folder; made where it is not there.
        keep: go on with the models that lie there already (trained further by annotators) instead of fresh copies.
        also_allowed: classes and functions that the party accepts beyond `dsfedmed.bundles.allowed_classes`.

    Raises:
        ConfigError: no bundle, one that fails a check or has no weights of its own network, or two of one name.
    """
    names = [model_name(bundle) for bundle in bundles]
    if not names:
        raise ConfigError("label-server", "no bundle was given", "Name a run's release folder or a trained bundle.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError("label-server", f"two bundles are called {twice[0]}", "Rename one of the folders.")
    for bundle, name in zip(bundles, names, strict=True):
        target = folder / "model" / name
        if keep and (target / WEIGHTS).is_file():
            require_bundle(target, weights=True, also_allowed=also_allowed)
            continue
        require_bundle(bundle, weights=True, also_allowed=also_allowed)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(bundle, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    write_text(folder / "main.py", MAIN)
    return names
