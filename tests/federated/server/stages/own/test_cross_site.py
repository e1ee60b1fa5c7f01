# SPDX-License-Identifier: Apache-2.0
"""Networks of two sites at both, by hand: one that marks every pixel, one that marks none. Whole runs: the methods'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.own.cross_site import cross_site, crossed_stages
from dsfedmed.federated.wire.tasks import DITTO
from dsfedmed.settings_sections import CompareSettings
from tests.federated.tiny import SITES, FakeRun, tiny_plan, tiny_settings

UNSEEN = "site_c"
LAST = "model.2.1.conv.unit0.conv"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A server whose machine holds the folders of all sites."""
    make_demo_sites(tmp_path / "sites", 0, (*SITES, UNSEEN), training=2, validation=2, test=2)
    run: Any = FakeRun(tmp_path, tiny_settings(), lambda *_: None)
    run.unseen = [UNSEEN]
    run.local_folder = tmp_path / "local"
    run.local_folder.mkdir()
    text = f"data: {tmp_path}/sites/{{site}}\noutput: {tmp_path}/own/{{site}}\n"
    (run.local_folder / "dsfedmed.yaml").write_text(text)
    return run


def marking(plan: FederationPlan, everything: bool) -> Weights:
    """The light network, whose last layer says the same of every pixel."""
    weights = plan.start_weights()
    bias = torch.full_like(weights[f"{LAST}.bias"], 1e4 if everything else -1e4)
    return {**weights, f"{LAST}.weight": torch.zeros_like(weights[f"{LAST}.weight"]), f"{LAST}.bias": bias}


def dice_of_all(folder: Path) -> float:
    """2 |lesion| / (|lesion| + |image|), the mean over the test images."""
    items = load_datalist(folder).parts["test"]
    shares = [float((np.array(Image.open(item.label)) > 0).mean()) for item in items if item.label is not None]
    return sum(2 * share / (share + 1) for share in shares) / len(shares)


def test_rows_are_networks_and_columns_are_test_images(run: Any, tmp_path: Path) -> None:
    plan = tiny_plan(run.settings)
    models = {
        "local@site_a": ScoredModel(marking(plan, everything=True), sites=("site_a", UNSEEN)),
        "local@site_b": ScoredModel(marking(plan, everything=False), sites=("site_b", UNSEEN)),
        "fedavg": ScoredModel(plan.start_weights()),
    }
    cross_site(run, plan, models)
    found = run.record.data["cross_site"]
    assert found.keys() == {"local"}
    sites = (*SITES, UNSEEN)
    assert found["local"]["site_a"] == pytest.approx({site: dice_of_all(tmp_path / "sites" / site) for site in sites})
    assert found["local"]["site_b"] == dict.fromkeys(sites, 0.0)
    assert not run.asked, "no message is sent for it"


def test_where_no_site_has_a_network_of_its_own_the_record_says_so(run: Any) -> None:
    plan = tiny_plan(run.settings)
    cross_site(run, plan, {"ditto": ScoredModel(plan.start_weights(), own=DITTO)})
    assert run.record.data["cross_site"] == {}
    (event,) = run.record.data["events"]
    assert event == ("missing", "", "compare.cross_site: no site has a network of its own in this run")


def test_it_is_a_stage_where_it_is_asked_for() -> None:
    assert crossed_stages(CompareSettings()) == ()
    assert crossed_stages(CompareSettings(cross_site=True)) == ("cross-site",)
