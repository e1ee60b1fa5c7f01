# SPDX-License-Identifier: Apache-2.0
"""The command of the attacks: each has arguments of its own, and writes its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed_benchmarks import cli
from dsfedmed_benchmarks.commands.privacy_attacks import ATTACKS

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


def test_an_attack_writes_its_table(tmp_path: Path) -> None:
    (site,) = make_demo_sites(tmp_path / "sites", 0, ["site_a"], training=2, validation=1, test=2)
    words = ["privacy-attacks", "inversion", "--site-folder", str(site), "--bundles", str(BUNDLES), "--batches", "1"]
    words += ["--noise", "0", "--optimizers", "sgd", "--iterations", "1"]
    assert cli.main([*words, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"attacks-inversion.json", "attacks-inversion.md"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_explains_itself(attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["privacy-attacks", attack, "--help"])
    assert ended.value.code == 0
    assert "--out" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--run", str(tmp_path / "none"), "--sites", str(tmp_path), "--site", "site_a", "--out", str(tmp_path)]
    assert cli.main(["privacy-attacks", "membership", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
