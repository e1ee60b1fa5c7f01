# SPDX-License-Identifier: Apache-2.0
"""The smallest whole run of DSFedMed with its comparisons, in this process, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.settings import Settings
from tests.federated.tiny import BUNDLES, SITES, tiny_settings

SMALLEST: dict[str, Any] = {
    "rounds": 1,
    "generator": {"base_rounds": 1, "base_steps": 1, "branch_steps": 1},
    "generator_model": {"layers_per_block": 1, "sampler_steps": 1, "batch_size": 4},
    "synthetic": {"per_site": 4, "shard_size": 4, "max_veto_share": 1.0},
    "teacher": {"epochs": 1},
    "schedule": {"warmup_rounds": 0, "interval_rounds": 1, "distil_at": "sites", "head_start_steps": 1},
    "compare": {"fedprox": True, "centralised": True, "teacher": False},
}


@dataclass(frozen=True)
class Finished:
    """A run folder, its sites and its settings."""

    folder: Path
    sites: Path
    settings: Settings


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A complete run on two sites."""
    folder = tmp_path_factory.mktemp("finished")
    make_demo_sites(folder / "sites", 0, SITES, training=4, validation=8, test=1)
    settings = tiny_settings(**SMALLEST)
    layout = SimulatedSites(folder / "sites", folder / "run", BUNDLES)
    assert simulate_locally("dsfedmed", settings, layout) == "complete"
    return Finished(folder / "run", folder / "sites", settings)
