# SPDX-License-Identifier: Apache-2.0
"""The table of what a private branch costs: small, whole, and taken up again where it was left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.generator.base_file import write_base
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.training.head_start import HeadStart
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.private_branch import study
from dsfedmed_benchmarks.private_branch.study import CLIPPED, PLAIN, UNFITTED, Kind, Options
from dsfedmed_benchmarks.private_branch.table import kinds_of, row
from tests.federated.tiny import BUNDLES

CONFIG = GeneratorConfig(
    image_size=32, unshuffle=4, block_out_channels=(8, 16), attention_head_channels=8, norm_groups=4, sampler_steps=2
)


def test_the_command_fits_scores_and_goes_on_from_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "LIGHT", HeadStart(2, 1e-3))
    make_demo_sites(tmp_path / "sites", 0, ["site_a"], training=4, validation=2, test=2)
    write_base(tmp_path / "base.safetensors", build_base(CONFIG, 0).state_dict(), CONFIG)
    command = ["dp-branch", "--sites", str(tmp_path / "sites"), "--site", "site_a", "--epsilon", "8"]
    command += ["--base", str(tmp_path / "base.safetensors"), "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    command += ["--bundles", str(BUNDLES), "--plain-steps", "1", "--steps", "2", "--people", "2", "--pairs", "16"]
    assert main([*command, "--seeds", "1"]) == 0
    first = capsys.readouterr().out
    assert "site_a epsilon 8: Dice" in first
    table = json.loads((tmp_path / "dp_branch.json").read_text())
    assert [found[2] for found in table["rows"]] == [PLAIN, UNFITTED, CLIPPED, "epsilon 8"]
    private = dict(zip(table["columns"], table["rows"][3], strict=True))
    assert 7 < private["epsilon spent"] <= 8
    assert private["delta"] == pytest.approx(1 / 40)
    assert private["noise multiplier"] > 0
    assert main([*command, "--seeds", "1"]) == 0
    assert "Dice 0" not in capsys.readouterr().out.partition("##")[0], "nothing is fitted or scored again"
    assert json.loads((tmp_path / "dp_branch.json").read_text())["rows"] == table["rows"]


def test_a_row_is_what_its_record_says_against_the_branch_without_privacy() -> None:
    plain = {"site": "a", "patients": 203, "name": PLAIN, "dice": [0.6, 0.5], "auc": [0.5, 0.4, 0.6]}
    found = {**plain, "name": "epsilon 3", "dice": [0.25, 0.35], "spent": 2.99, "delta": 4e-4, "noise_multiplier": 5.0}
    assert row(found, plain) == (
        "a", 203, "epsilon 3", 2.99, 4e-4, 5.0, 30.0, 25.0, 25.0, 35.0, "0.50 (0.40 to 0.60)"
    )  # fmt: skip
    assert row(plain, plain)[3:8] == (None, None, None, 55.0, None)


def test_controls_come_first_and_epsilons_from_loose_to_tight() -> None:
    assert [kind.name for kind in kinds_of([1, 10])] == [PLAIN, UNFITTED, CLIPPED, "epsilon 10", "epsilon 1"]


def test_a_record_without_privacy_does_not_depend_on_private_numbers(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(b"base")
    one, other = (Options(tmp_path, tmp_path / "base", steps=steps) for steps in (10, 20))
    assert one.told(Kind(PLAIN)) == other.told(Kind(PLAIN))
    assert one.told(Kind(CLIPPED)) != other.told(Kind(CLIPPED))
