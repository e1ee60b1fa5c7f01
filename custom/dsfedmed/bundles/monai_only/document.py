# SPDX-License-Identifier: Apache-2.0
"""``monai_only/inference.json`` of a release: masks of plain files where dsfedmed is not installed.

Read are 8-bit PNG (grey or RGB, upright, opaque), NPY (rows, columns[, channels]) and axial NIfTI volumes, in the order
of steps of `configs/inference.json`: the numbers that become 0 and 1 (`data.files.values`), the same MONAI transforms,
the same network, slice by slice. Masks are equal to those of `dsfedmed predict` (a test). What MONAI's readers would
misread is looked for in the files' headers before anything is written, and refused with the name of that command.

A configuration with these expressions is code. The package never opens the file: bundles are read from ``configs/``
(`bundles.documents`), and `dsfedmed check-bundle` accepts this one only where it is, word for word, what is written
here for the release's own `configs/inference.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsfedmed.bundles.documents import INFERENCE, read_config
from dsfedmed.bundles.monai_only.steps import STEPS
from dsfedmed.networks.any_size import RESNET_HALVINGS

MONAI_ONLY = "monai_only/inference.json"
NETWORKS = {
    "dsfedmed.networks.any_size.AnySizeUNet": "monai.networks.nets.UNet",
    "dsfedmed.networks.any_size.AnySizeFlexibleUNet": "monai.networks.nets.FlexibleUNet",
}
"""Networks whose parameters are MONAI's own, with the class that takes them."""
KEPT = ("image_size", "in_channels", "num_classes", "window")
LOADER, RESIZING = "dsfedmed.data.LoadSiteImaged", "monai.transforms.Resized"


def monai_only_document(inference: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the configuration that runs a release by MONAI alone; None where MONAI has no such network or step.

    Args:
        inference: the release's ``configs/inference.json``. Sides of ``image_size`` have to be multiples of what the
            network halves them by: MONAI's classes do not extend other images.
    """
    network = inference.get("network_def")
    resized = _resizing(inference)
    if not isinstance(network, dict) or network.get("_target_") not in NETWORKS or resized is None:
        return None
    if any(side % _multiple(network) for side in inference["image_size"]):
        return None
    return {
        **{key: inference[key] for key in KEPT},
        "network_def": {**network, "_target_": NETWORKS[network["_target_"]]},
        "preprocessing": resized,
        **STEPS,
    }


def complaints(root: Path) -> Iterator[str]:
    """Complain where the file is there and is anything but what the release's own configuration gives."""
    if not (root / MONAI_ONLY).exists():
        return
    inference = read_config(root / INFERENCE)
    if read_config(root / MONAI_ONLY) != monai_only_document(inference):
        yield f"{MONAI_ONLY} is not what this version writes for {INFERENCE}; remove it, or write the release again"


def _resizing(inference: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the resizing, where the preprocessing is that and the loading, and nothing else."""
    chosen = inference.get("preprocessing")
    if isinstance(chosen, str) and chosen.startswith("@preprocessings::"):
        chosen = inference.get("preprocessings", {}).get(chosen.partition("::")[2])
    steps = chosen.get("transforms", []) if isinstance(chosen, dict) else []
    if [step.get("_target_") for step in steps] != [LOADER, RESIZING]:
        return None
    return dict(steps[1])


def _multiple(network: Mapping[str, Any]) -> int:
    return math.prod(network["strides"]) if "strides" in network else int(2**RESNET_HALVINGS)
