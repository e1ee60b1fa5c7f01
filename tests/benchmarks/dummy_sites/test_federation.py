# SPDX-License-Identifier: Apache-2.0
"""A federation of random updates: the shapes of the product's networks, averaged by the product's own code."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.tasks.networks import trained_tensors
from dsfedmed.flare.workspace import SimulatedSites, prepare_workspace
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed_benchmarks.dummy_sites import CLASS_PREFIX
from dsfedmed_benchmarks.dummy_sites.federation import network_shapes, simulate_random_updates


def test_what_is_sent_of_tiny_sam_is_what_the_product_sends():
    shapes = network_shapes("tiny_sam")
    with torch.device("meta"):
        network = TinySam(1024)
    assert shapes == shapes_of(trained_tensors(network))
    assert sum(math.prod(shape) for shape in shapes.values()) == 9_260_308


def test_the_workspace_allows_this_package_only_where_asked(tmp_path: Path) -> None:
    layout = SimulatedSites(tmp_path, tmp_path, tmp_path)
    for name, more in (("product", ()), ("benchmark", (CLASS_PREFIX,))):
        prepare_workspace(tmp_path / name, layout, more)
        allowed = json.loads((tmp_path / name / "local" / "resources.json").read_text())["class_allow_list"]
        assert (CLASS_PREFIX in allowed) == bool(more)
        assert not any("dsfedmed_benchmarks.performance".startswith(prefix) for prefix in allowed) or more


@pytest.mark.federation
def test_two_sites_answer_and_the_server_notes_its_memory(tmp_path):
    record = simulate_random_updates("small", 2, 2, tmp_path)
    noted = record["memory"]
    assert record["sites"] == ["site_01", "site_02"]
    assert [entry["peak_mib"] >= noted["start_mib"] for entry in noted["rounds"]] == [True, True]
    sent = sum(entry["bytes"] for entry in record["bytes"]["entries"] if entry["direction"] == "up")
    assert sent >= 2 * 2 * 2 * 33_280, "two sites, two rounds, two bytes a number"
