# SPDX-License-Identifier: Apache-2.0
"""The upper bound trains on the union, keeps its best epoch, and is refused where the images are not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.federated.server.stages.centralised import centralised, require_simulation, site_folders
from tests.federated.tiny import SITES, FakeRun, tiny_plan, tiny_settings


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A server whose machine holds the folders of both sites."""
    make_demo_sites(tmp_path / "sites", 0, SITES, training=6, validation=3, test=1)
    run: Any = FakeRun(tmp_path, tiny_settings(rounds=3), lambda *_: None)
    run.local_folder = tmp_path / "local"
    run.local_folder.mkdir()
    (run.local_folder / "dsfedmed.yaml").write_text(f"data: {tmp_path}/sites/{{site}}\n")
    return run


def test_it_trains_on_all_images_and_repeats(run: Any) -> None:
    plan = tiny_plan(run.settings)
    result = centralised(run, plan, run.settings.rounds)
    assert result.info["steps"] == 3 * 3, "12 images in batches of 4, three epochs"
    assert 1 <= result.info["epoch"] <= 3
    start = plan.start_weights()
    assert result.tensors.keys() == start.keys()
    assert any(not torch.equal(result.tensors[name], start[name]) for name in start)
    again = centralised(run, plan, run.settings.rounds)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in result.tensors.items())
    chosen, epoch = run.record.data["selected"]["centralised"], result.info["epoch"]
    assert (chosen["round"], chosen["local_steps"]) == (epoch, 3 * epoch), "steps up to the epoch that was kept"
    assert run.record.data["budgets"]["centralised"] == {"rounds": 3, "local_steps": 9}


@pytest.mark.parametrize("text", ["", "data: /nowhere/{site}\n"])
def test_where_the_images_are_not_it_is_refused(run: Any, text: str) -> None:
    (run.local_folder / "dsfedmed.yaml").write_text(text)
    with pytest.raises(ConfigError, match="images of site_a are not on the server's machine"):
        site_folders(run)
    for name in ("centralised", "cross_site"):
        run.settings = tiny_settings(compare={name: True})
        with pytest.raises(ConfigError, match=rf"compare\.{name}: the images of site_a"):
            require_simulation(run)
