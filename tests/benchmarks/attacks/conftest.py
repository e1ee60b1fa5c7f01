# SPDX-License-Identifier: Apache-2.0
"""The smallest whole run of DSFedMed that can be attacked, in this process, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed_benchmarks.attacks.roster import Budget, Roster
from dsfedmed_benchmarks.attacks.victim import Victim
from tests.federated.tiny import BUNDLES, SITES, tiny_settings

BUDGET = Budget(shadows=6, shadow_steps=1, few=4, few_steps=2, each=1, copies=(1, 2))


@dataclass(frozen=True)
class Attacked:
    """A run folder, its sites, and a work folder."""

    run: Path
    sites: Path
    work: Path

    def roster(self) -> Roster:
        victim = Victim.open(self.run, self.sites, "site_a", BUNDLES)
        return Roster(victim, BUDGET, self.work, say=lambda _: None)


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    """A complete run on two sites."""
    folder = tmp_path_factory.mktemp("attacked")
    make_demo_sites(folder / "sites", 0, SITES, training=9, validation=8, test=6)
    settings = tiny_settings(
        rounds=1,
        generator={"base_rounds": 1, "base_steps": 1, "branch_steps": 2},
        generator_model={"layers_per_block": 1, "sampler_steps": 1, "batch_size": 4},
        synthetic={"per_site": 4, "shard_size": 4, "max_veto_share": 1.0},
        teacher={"epochs": 1},
        schedule={"warmup_rounds": 0, "interval_rounds": 1, "distil_at": "sites", "head_start_steps": 0},
        compare={"local": False, "fedavg": False, "equal_steps": False, "teacher": False},
    )
    layout = SimulatedSites(folder / "sites", folder / "run", BUNDLES)
    assert simulate_locally("dsfedmed", settings, layout) == "complete"
    return Attacked(folder / "run", folder / "sites", folder / "work")
