# SPDX-License-Identifier: Apache-2.0
"""Write one hospital's generator of a finished run as a MONAI bundle that draws images for masks.

The bundle holds the common base and the hospital's branch. Only its own weights file tells hospitals apart: hand it on
as that hospital allows. Example:
  dsfedmed release-generator runs/demo --site site_a --out runs/demo/generator_site_a
  cd runs/demo/generator_site_a
  python -m monai.bundle run --config_file configs/inference.json --dataset_dir MASKS --output_dir IMAGES
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfedmed.errors import ConfigError
from dsfedmed.installation.shipped import bundles

if TYPE_CHECKING:
    from dsfedmed.data.facts import FederationFacts

FOLDER = "controlnet_generator"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the folder given to the job as --out")
    parser.add_argument("--site", required=True, help="the hospital whose generator is exported")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="bundle folder to create")
    parser.add_argument(
        "--bundles", type=Path, metavar="DIR", help="folder of the bundles (default: those that came with dsfedmed)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the bundle whole or not at all, then check it."""
    from dsfedmed.bundles.checks import WEIGHTS, require_bundle
    from dsfedmed.federated.party.config import PartyConfig
    from dsfedmed.federated.server.finished_run import FinishedRun
    from dsfedmed.generator.bundle import MaskToImage
    from dsfedmed.networks.checkpoints import save_weights

    if args.out.exists():
        raise ConfigError(args.out, "is there already", "Choose another --out.")
    folder = args.bundles or bundles()
    finished = FinishedRun.open(args.run_folder, args.run_folder, PartyConfig(bundles=folder))
    if args.site not in finished.branch_sites:
        known = ", ".join(finished.branch_sites)
        raise ConfigError(args.site, "has no branch in this run", f"Sites with a branch are {known}.")
    settings = finished.plan.generator.to_dict()
    network = MaskToImage(settings)
    network.base.load_state_dict(finished.generator_base.unet.state_dict())
    network.branch.load_state_dict(finished.branch(args.site).state_dict())
    partial = args.out.with_name(f".{args.out.name}.{os.getpid()}.partial")
    try:
        shutil.copytree(folder / FOLDER, partial)
        _write_configs(partial, settings, finished.plan.facts, args.site)
        _write_card(partial / "docs" / "README.md", args.run_folder.resolve().name, args.site)
        save_weights(network.state_dict(), partial / WEIGHTS)
        require_bundle(partial, weights=True)
        partial.rename(args.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(args.out)
    return 0


def _write_configs(folder: Path, settings: dict[str, Any], facts: FederationFacts, site: str) -> None:
    from dsfedmed.bundles.documents import INFERENCE, METADATA, read_config
    from dsfedmed.data.channels import channel_labels

    inference, metadata = read_config(folder / INFERENCE), read_config(folder / METADATA)
    size = [settings["image_size"]] * 2
    inference |= {
        "image_size": size,
        "num_classes": settings["num_classes"],
        "nested": facts.nested,
        "generator": settings,
    }
    tensors = metadata["network_data_format"]
    mask, image = tensors["inputs"]["image"], tensors["outputs"]["pred"]
    classes, channels = settings["num_classes"], settings["channels"]
    mask |= {
        "num_channels": classes,
        "spatial_shape": size,
        "channel_def": {str(k): f"{k + 1}" for k in range(classes)},
    }
    labels = channel_labels(channels, facts.channel_names)
    image |= {"num_channels": channels, "spatial_shape": size, "channel_def": {str(k): n for k, n in enumerate(labels)}}
    metadata |= {"version": "1.0.0", "changelog": {"1.0.0": f"base and branch of {site}", **metadata["changelog"]}}
    for name, document in ((INFERENCE, inference), (METADATA, metadata)):
        (folder / name).write_text(json.dumps(document, indent=4) + "\n", encoding="utf-8")


def _write_card(card: Path, run: str, site: str) -> None:
    text = card.read_text(encoding="utf-8")
    told = f"Weights: the base of run {run} and the branch of {site}. The run's report"
    card.write_text(text.replace("No weights come with the bundle; a run's report", told), encoding="utf-8")
