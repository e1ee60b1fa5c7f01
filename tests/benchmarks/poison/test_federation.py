# SPDX-License-Identifier: Apache-2.0
"""A bad site in a federation of four: what it sends is refused where it should be, and spoils the mean where it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.settings import Settings, merge
from dsfedmed_benchmarks.poison.federation import run_with
from dsfedmed_benchmarks.poison.table import RULES, TRAINING
from tests.federated.tiny import BUNDLES

SITES = ["site_a", "site_b", "site_c", "site_d"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("poison") / "sites"
    make_demo_sites(made, training=4, validation=4, test=4)
    return made


def settings(rule: str) -> Settings:
    values = {"rounds": 1, "image_size": 32, "preset": "poison", "robust": RULES[rule]}
    return Settings.from_dict(merge(TRAINING, values))


@pytest.mark.parametrize("behaviour", ["1,000 times", "masks shifted", "without it"])
def test_every_kind_runs_to_its_end(behaviour: str, folder: Path, tmp_path: Path) -> None:
    layout = SimulatedSites(folder, tmp_path / "run", BUNDLES)
    found = run_with("site_b", behaviour, settings("default"), layout, SITES)
    assert found.verdict == "complete"
    assert set(found.dice) == set(SITES) - ({"site_b"} if behaviour == "without it" else set())
    assert [site for _, site, _ in found.refused] == (["site_b"] if behaviour == "1,000 times" else [])


def test_without_a_gate_it_counts(folder: Path, tmp_path: Path) -> None:
    layout = SimulatedSites(folder, tmp_path / "run", BUNDLES)
    assert run_with("site_b", "1,000 times", settings("none"), layout, SITES).refused == []
