# SPDX-License-Identifier: Apache-2.0
"""Write what a run is for: its bundle with weights, measured metrics and a model card, ready for ``monai.bundle``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import monai
import numpy as np
import torch
from torch import Tensor

from dsfedmed.bundles.definition import BundleDefinition, lay_values
from dsfedmed.bundles.documents import INFERENCE, METADATA, TRAIN, read_config
from dsfedmed.bundles.monai_only.document import MONAI_ONLY, monai_only_document
from dsfedmed.bundles.settings import values_by_id
from dsfedmed.data.channels import channel_labels
from dsfedmed.errors import CheckpointError, ConfigError, DSFedMedError, StoreError
from dsfedmed.networks.checkpoints import load_state, save_weights
from dsfedmed.version import VERSION

CARD = "docs/README.md"
WEIGHTS = "models/model.pt"
PREDICT = (
    "`dsfedmed predict <this folder> <images> --out <folder>` makes masks of every kind of file that dsfedmed reads"
)
NEEDS_DSFEDMED = (f"{PREDICT}. MONAI alone does not run this network: dsfedmed has to be installed.",)
BOTH_WAYS = (
    f"{PREDICT}. Without dsfedmed, with MONAI alone (and Pillow and nibabel), from this folder:",
    "",
    "```",
    f"python -m monai.bundle run --config_file {MONAI_ONLY} --dataset_dir <folder> --output_dir <folder>",
    "```",
    "",
    "gives the same masks of 8-bit PNG (grey or RGB, upright, opaque), NPY of shape (rows, columns) or (rows, columns, "
    "channels), and axial NIfTI volumes. It refuses a folder with any other file before it writes anything.",
)


class Agreement(Protocol):
    """What the sites agree on (``data.facts.FederationFacts``)."""

    @property
    def channels(self) -> int:
        """Image channels."""

    @property
    def num_classes(self) -> int:
        """Foreground classes K."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the K classes, in channel order."""

    @property
    def nested(self) -> bool:
        """Whether a higher label implies the lower ones."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the image channels, in their order; empty where they have none."""

    @property
    def window(self) -> tuple[float, float] | None:
        """The numbers that become 0 and 1; None where every file has its own scale."""


def write_release(
    bundle_folder: Path | str,
    out: Path | str,
    state_dict: Mapping[str, Tensor],
    settings: Mapping[str, object],
    facts: Agreement,
    metrics: Mapping[str, Mapping[str, float]],
    *,
    also_allowed: Collection[str] = (),
    version: str = "1.0.0",
    note: str = "weights of a DSFedMed federation",
) -> Path:
    """Write a bundle folder with weights; it appears whole or not at all, and replaces an older one.

    Args:
        bundle_folder: the bundle that the run was made with.
        out: folder to write.
        state_dict: weights of the bundle's network.
        settings: the run's settings, as the bundle declares them; they become the release's defaults.
        facts: channels, classes and names, filled in where ``settings`` do not say.
        metrics: rows of the model card's table, as {"seen sites": {"dice": 0.79, "hd95": 5.1}, ...}.
        also_allowed: classes and functions that the party accepts beyond `dsfedmed.bundles.allowed_classes`.
        version: the release's version in the metadata.
        note: its changelog entry.

    Returns:
        ``out``.

    Raises:
        ConfigError: the bundle or a setting is not usable, or contradicts ``facts``.
        CheckpointError: the weights do not belong to the network or are not finite.
        StoreError: the folder cannot be written.
    """
    bundle, target = Path(bundle_folder), Path(out)
    definition = BundleDefinition(bundle, _settings(settings, facts), also_allowed=also_allowed)
    load_state(definition.network(), state_dict, "release weights")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(
            bundle, partial, ignore=shutil.ignore_patterns("__pycache__", "models", "eval", "output", "large_files.yml")
        )
        _write_configs(partial, definition, facts, metrics, version, note)
        save_weights(state_dict, partial / WEIGHTS)
        _write_card(partial / CARD, definition, facts, metrics, _write_monai_only(partial))
        _replace(partial, target)
    except (OSError, DSFedMedError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, DSFedMedError) and not isinstance(error, CheckpointError):
            raise
        raise StoreError(
            target, f"the release cannot be written ({error})", "Free some space and run again."
        ) from error
    return target


def _settings(settings: Mapping[str, object], facts: Agreement) -> dict[str, object]:
    if len(facts.label_names) != facts.num_classes:
        raise ConfigError("release", "class names and classes differ in number", "Name every foreground class.")
    for key, agreed in (("num_classes", facts.num_classes), ("nested", facts.nested)):
        if key in settings and settings[key] != agreed:
            raise ConfigError(
                "release", f"{key} is {settings[key]} in the run and {agreed} at the sites", "Release the run's own."
            )
    names = {"0": "background", **{str(k + 1): name for k, name in enumerate(facts.label_names)}}
    filled = {"in_channels": facts.channels, "num_classes": facts.num_classes, "nested": facts.nested}
    window = {} if facts.window is None else {"window": list(facts.window)}
    return {**filled, **window, **settings, "channel_def": names}


def _write_configs(
    folder: Path,
    definition: BundleDefinition,
    facts: Agreement,
    metrics: Mapping[str, Mapping[str, float]],
    version: str,
    note: str,
) -> None:
    _write_json(folder / TRAIN, definition.document)
    inference = read_config(folder / INFERENCE)
    laid = values_by_id(definition.declared, definition.settings)
    shared = {key: value for key, value in laid.items() if key.split("::")[0] in inference}
    _write_json(folder / INFERENCE, lay_values(inference, shared, folder / INFERENCE))
    metadata = read_config(folder / METADATA)
    metadata["version"] = version
    metadata["changelog"] = {version: note, **metadata.get("changelog", {})}
    metadata["monai_version"] = monai.__version__
    metadata["pytorch_version"] = torch.__version__.split("+")[0]
    metadata["numpy_version"] = np.__version__
    metadata.setdefault("required_packages_version", {})["dsfedmed"] = VERSION
    metadata["eval_metrics"] = {
        f"{row} {name}": value for row, values in metrics.items() for name, value in values.items()
    }
    image = metadata["network_data_format"]["inputs"]["image"]
    prediction = metadata["network_data_format"]["outputs"]["pred"]
    image["num_channels"], prediction["num_channels"] = definition.in_channels, facts.num_classes
    image["spatial_shape"] = prediction["spatial_shape"] = list(definition.image_size)
    labels = channel_labels(definition.in_channels, facts.channel_names)
    image["channel_def"] = {str(k): label for k, label in enumerate(labels)}
    prediction["channel_def"] = definition.settings["channel_def"]
    _write_json(folder / METADATA, metadata)


def _write_monai_only(folder: Path) -> bool:
    """Write the configuration for MONAI alone beside the others, and tell whether there is one."""
    document, path = monai_only_document(read_config(folder / INFERENCE)), folder / MONAI_ONLY
    shutil.rmtree(path.parent, ignore_errors=True)  # of a release that this one was made from
    if document is not None:
        path.parent.mkdir()
        _write_json(path, document)
    return document is not None


def _order(facts: Agreement) -> str:
    return f" in the order {', '.join(facts.channel_names)}" if facts.channel_names else ""


def _write_card(
    path: Path,
    definition: BundleDefinition,
    facts: Agreement,
    metrics: Mapping[str, Mapping[str, float]],
    monai_only: bool,
) -> None:
    """Put what was measured into the card's "Performance" section and the classes into its "Output" section."""
    classes = ", ".join(f"{k + 1} {name}" for k, name in enumerate(facts.label_names))
    lines = [
        "## Performance",
        *_measured(metrics),
        "",
        f"Label values: 0 background, {classes}{' (nested)' if facts.nested and facts.num_classes > 1 else ''}. "
        f"Input: {definition.in_channels} channel(s){_order(facts)}, "
        f"{definition.image_size[0]} x {definition.image_size[1]}.",
        "",
        *(BOTH_WAYS if monai_only else NEEDS_DSFEDMED),
        "",
        "Research only. Not for clinical use.",
        "",
    ]
    text = path.read_text(encoding="utf-8") if path.is_file() else "# Model overview\n\n"
    before, found, after = text.partition("## Performance\n")
    rest = after[after.index("\n## ") + 1 :] if found and "\n## " in after else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before + "\n".join(lines) + "\n" + rest, encoding="utf-8")


def _measured(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not metrics:
        return ["Not measured yet."]
    return [
        "Measured on the test parts of the sites, every image at its own size; means over cases.",
        "",
        *_table(metrics),
    ]


def _table(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    columns = list(dict.fromkeys(name for values in metrics.values() for name in values))
    rows = [
        f"| {row} | " + " | ".join(f"{values[name]:.4g}" if name in values else "" for name in columns) + " |"
        for row, values in metrics.items()
    ]
    return [f"| part | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|", *rows]


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")


def _replace(partial: Path, target: Path) -> None:
    """Move the finished folder into place; an older release is kept until the new one is complete."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
