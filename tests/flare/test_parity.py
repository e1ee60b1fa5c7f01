# SPDX-License-Identifier: Apache-2.0
"""The bare loops of the overhead benchmark are the same workflow: they end with the federation's very weights."""

from __future__ import annotations

import pytest

from dsfedmed.federated.local.transport import BareDSFedMed
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.store.files import read_json
from dsfedmed_benchmarks.performance.overhead import OverheadOptions, final_weights, require_equal_weights, settings_of
from tests.federated.conftest import ROOT

pytestmark = pytest.mark.federation
ALONE = tuple(f"compare.{name}=false" for name in ("fedavg", "equal_steps", "local", "teacher"))


def test_same_seed_and_steps_give_the_same_bits_though_nothing_went_over_a_wire(federation, tmp_path):
    """Generators, audit, teacher, distillation, soft labels and rounds come before these weights."""
    assert federation.code == 0, federation.output[-3000:]
    preset = str(ROOT / "jobs" / "dsfedmed" / "presets" / "smoke.yaml")
    settings = settings_of(OverheadOptions(federation.sites, "site_d", preset, ALONE))
    prepare_workspace(tmp_path / "ws", SimulatedSites(federation.sites, tmp_path, ROOT / "bundles"))
    BareDSFedMed(settings.to_dict(), tmp_path / "ws" / "local", site_names(federation.sites)).run()
    assert read_json(tmp_path / "record.json")["verdict"] == "complete"
    require_equal_weights(federation.folder, tmp_path)
    assert any(name.startswith("best/") for name in final_weights(tmp_path))
