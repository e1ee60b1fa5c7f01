# SPDX-License-Identifier: Apache-2.0
"""The figures in the light U-Net's model card are what its commands give."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from monai.bundle import run

from dsfedmed.data.demo import make_demo_sites
from tests.bundles.conftest import ROOT

BUNDLE = ROOT / "bundles" / "light_unet_segmentation"


def test_the_card_can_be_reproduced(tmp_path: Path) -> None:
    row = re.search(r"\| `site_a` .* \| ([\d.]+) \| ([\d.]+) \|", (BUNDLE / "docs/README.md").read_text())
    assert row is not None
    (site,) = make_demo_sites(tmp_path, 0, ["site_a"])
    configs = [str(BUNDLE / "configs" / name) for name in ("train.json", "evaluate.json")]
    shared = {"bundle_root": str(BUNDLE), "dataset_dir": str(site), "ckpt_dir": str(tmp_path / "models"),
              "device": "cpu"}  # fmt: skip
    run(config_file=configs[0], **shared)
    run(config_file=configs, output_dir=str(tmp_path / "eval"), **shared)
    with (tmp_path / "eval" / "metrics.csv").open() as stream:
        found = {line[0]: float(line[1]) for line in csv.reader(stream)}
    assert found["val_mean_dice"] == pytest.approx(float(row[1]), abs=0.03)
    assert found["val_mean_iou"] == pytest.approx(float(row[2]), abs=0.03)
