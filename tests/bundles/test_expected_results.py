# SPDX-License-Identifier: Apache-2.0
"""The figures in the model cards are what the cards' own commands give.

Each is a training of its own; the quickest is looked at always, the others by `make slow-test`.
"""

from __future__ import annotations

import ast
import csv
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import run

from dsfedmed.data.demo.sites import make_demo_sites
from tests.bundles.conftest import BUNDLES

ROW = re.compile(r"\| `site_a` .* \| ([\d.]+) \| ([\d.]+) \|")
COMMAND = re.compile(r"^python -m monai\.bundle run (.* --dataset_dir data/demo/site_a.*)$", re.MULTILINE)
QUICKEST = "light_flexible_unet_segmentation"
CARDS = [pytest.param(path, id=path.name, marks=() if path.name == QUICKEST else pytest.mark.slow) for path in BUNDLES]


def value_of(text: str) -> Any:
    """Read a command-line value as MONAI's command line does: a literal where it is one."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def options_of(command: str) -> dict[str, Any]:
    words = shlex.split(command)
    return {key.removeprefix("--"): value_of(value) for key, value in zip(words[::2], words[1::2], strict=True)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the cards."""
    (folder,) = make_demo_sites(tmp_path_factory.mktemp("demo"), 0, ["site_a"])
    return folder


@pytest.mark.parametrize("bundle", CARDS)
def test_the_card_can_be_reproduced(bundle: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (bundle / "docs/README.md").read_text()
    row = ROW.search(card)
    commands = COMMAND.findall(card)
    assert row is not None
    assert len(commands) == 2
    monkeypatch.chdir(bundle)
    elsewhere = {"dataset_dir": str(site), "ckpt_dir": str(tmp_path / "models"), "device": "cpu"}
    run(**{**options_of(commands[0]), **elsewhere})
    run(**{**options_of(commands[1]), **elsewhere, "output_dir": str(tmp_path / "eval")})
    with (tmp_path / "eval" / "metrics.csv").open() as stream:
        found = {line[0]: float(line[1]) for line in csv.reader(stream)}
    assert found["val_mean_dice"] == pytest.approx(float(row[1]), abs=0.05)
    assert found["val_mean_iou"] == pytest.approx(float(row[2]), abs=0.05)
