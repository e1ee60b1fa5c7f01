# SPDX-License-Identifier: Apache-2.0
"""The wire benchmark counts what travels: shapes at the paper's scale, by hand where that is possible."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from dsfedmed_benchmarks.dummy_sites.random_set import made_up_labels, made_up_pair, write_made_up_set
from dsfedmed_benchmarks.paper_scale.shapes import branch_shapes
from dsfedmed_benchmarks.performance.wire import FEDSAM_MIB, PAYLOADS, WireOptions, rows_of, run
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.settings import read_preset
from tests.federated.conftest import ROOT

PRESETS = ROOT / "jobs" / "dsfedmed" / "presets"
MIB = 2**20


def entry(site: str, stage: str, direction: str, size: int) -> dict[str, object]:
    return {"site": site, "stage": stage, "direction": direction, "purpose": "method", "bytes": size, "messages": 4}


def test_rows_are_means_over_sites_and_scaled_references():
    entries = [entry(site, stage, way, 2 * MIB) for site in ("a", "b") for stage, way in PAYLOADS]
    entries += [entry("a", "check sites", "up", 2 * MIB)]
    rows = {str(row[0]): row for row in rows_of(entries, ["a", "b"], 50)}
    assert rows["branch and masks"][2:] == [4, 2.0]
    assert rows["everything else"][2:] == [2, 1.0]
    assert rows["all"][3] == pytest.approx(11.0)
    assert rows["FedSAM"][3] == FEDSAM_MIB / 2
    assert rows["fewer bytes than FedSAM (%)"][3] == pytest.approx(100 * (1 - 11 / (FEDSAM_MIB / 2)))


def test_the_paper_s_branch_has_at_most_25_mb():
    model = read_preset(PRESETS / "paper.yaml")["generator_model"]
    config = GeneratorConfig.from_dict({**model, "image_size": 512, "channels": 3, "num_classes": 1})
    assert 2 * sum(math.prod(shape) for shape in branch_shapes(config).values()) <= 25e6


def test_made_up_images_have_detail_and_repeat():
    image, label = made_up_pair(96, 3, seed=5)
    again, _ = made_up_pair(96, 3, seed=5)
    assert torch.equal(image, again)
    assert image.shape == (3, 96, 96)
    assert image.float().std() > 10
    assert (image[:, 1:].float() - image[:, :-1].float()).abs().mean() > 1, "neighbours differ: no constant image"
    assert 0 < label.float().mean() < 0.5
    assert set(made_up_labels(3, 32, 0).unique().tolist()) == {0, 1}


def test_the_made_up_set_is_a_set_of_the_product_s_and_no_two_images_are_alike(tmp_path: Path):
    manifest = write_made_up_set(tmp_path, ["a", "b"], 20, 16, 1, 32)
    images = SyntheticSet.open(tmp_path, manifest).images().flatten(1)
    assert manifest.origin == ("a",) * 20 + ("b",) * 20
    assert len(images.unique(dim=0)) == 40


@pytest.mark.federation
def test_a_small_federation_is_counted_from_branch_to_distillation(tmp_path: Path):
    overrides = ("light.precision=int8", "rounds=2", "schedule.epochs=1", "synthetic.per_site=4")
    table = run(WireOptions(2, PRESETS / "smoke.yaml", overrides, ROOT / "bundles", tmp_path / "wire"))
    rows = {str(row[0]): row[3] for row in table.rows}
    whole = rows["light network after each distillation"]
    assert 0.8 * rows["light network: updates"] < 2 * whole < 1.2 * rows["light network: updates"]
    assert rows["light network: first reference, then differences"] > 2 * whole, "the first one is whole, in fp16"
    assert all(rows[name] > 0 for name in PAYLOADS.values())
    assert rows["all"] == pytest.approx(sum(rows[name] for name in (*PAYLOADS.values(), "everything else")))
