# SPDX-License-Identifier: Apache-2.0
"""Whole runs without NVFlare: complete, repeatable, gone on with, and the same bits with a process for every site."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.tiny import BUNDLES, SITES, tiny_settings

SMALLEST: dict[str, dict[str, Any]] = {
    "dsfedmed": {
        "rounds": 1,
        "generator": {"base_rounds": 1, "base_steps": 1, "branch_steps": 1},
        "generator_model": {"layers_per_block": 1, "sampler_steps": 1, "batch_size": 4},
        "synthetic": {"per_site": 4, "shard_size": 4, "max_veto_share": 1.0},
        "teacher": {"epochs": 1},
        "schedule": {"warmup_rounds": 0, "interval_rounds": 1, "distil_at": "sites"},
        "light": {"precision": "int8"},
    },
    "pfedsam": {"rounds": 1, "method": {"warmup_rounds": 0}},
    "samfed": {"rounds": 1, "teacher": {"epochs": 1}, "method": {"public_epochs": 1, "ramp_rounds": 1}},
}
NOTHING = dict.fromkeys(("local", "fedavg", "equal_steps", "teacher"), False)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites") / "sites"
    make_demo_sites(folder, 0, SITES, training=4, validation=8, test=1)
    make_demo_sites(folder.parent / "public", 0, ("public",), training=4, validation=2, test=1)
    return folder


def settings_of(method: str, **changes: Any) -> Settings:
    return tiny_settings(**SMALLEST[method], compare=NOTHING, **changes)


def layout_of(sites: Path, run: Path) -> SimulatedSites:
    return SimulatedSites(sites, run, BUNDLES, public=sites.parent / "public" / "public")


def released(run: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(run / "release" / "models" / "model.pt", weights_only=True)
    return weights


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(second[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize("method", sorted(SMALLEST))
def test_a_method_runs_to_its_release_and_no_stage_is_done_twice(method: str, sites: Path, tmp_path: Path) -> None:
    settings, layout = settings_of(method), layout_of(sites, tmp_path / "run")
    assert simulate_locally(method, settings, layout) == "complete"
    record = read_json(tmp_path / "run" / "record.json")
    assert (record["method"], record["sites"]) == (method, list(SITES))
    assert {event["kind"] for event in record["events"]} <= {"stands out"}, "the made-up devices differ on purpose"
    assert set(record["cases"][method]) == set(SITES)
    assert {entry["direction"] for entry in record["bytes"]["entries"]} == {"down", "up"}
    assert (tmp_path / "run" / "report.html").is_file()
    assert {path.name for path in (tmp_path / "run" / "sites").iterdir()} == set(SITES)
    weights = released(tmp_path / "run")
    assert simulate_locally(method, settings, layout) == "complete"
    again = read_json(tmp_path / "run" / "record.json")
    assert again["cases"] == record["cases"]
    assert again["curves"] == record["curves"]
    assert same(released(tmp_path / "run"), weights)
    assert [entry["name"] for entry in again["stages"]] == [entry["name"] for entry in record["stages"]]
    assert all(entry["resumed"] for entry in again["stages"] if entry["name"] in ("rounds", "evaluate"))


@pytest.mark.federation
def test_with_a_process_for_every_site_it_is_the_same_to_the_last_bit(sites: Path, tmp_path: Path) -> None:
    """Generators, audit, teacher, distillation, soft labels, int8 and rounds come before these weights."""
    settings = settings_of("dsfedmed")
    runs = [tmp_path / name for name in ("here", "processes")]
    for run, processes in zip(runs, (False, True), strict=True):
        assert simulate_locally("dsfedmed", settings, layout_of(sites, run), processes) == "complete"
    first, second = (read_json(run / "record.json") for run in runs)
    for part in ("curves", "selected", "budgets", "cases", "audit", "synthetic", "learnability"):
        assert first[part] == second[part], part
    told = [
        [(event["kind"], event["site"], event["message"]) for event in record["events"]] for record in (first, second)
    ]
    assert told[0] == told[1]
    assert same(released(runs[0]), released(runs[1]))
    for stage in ("training-dsfedmed", "fit base", "branch-site_a", "distillation"):
        files = [run / "store" / read_json(run / "store" / f"{stage}.json")["file"] for run in runs]
        assert same(*(read_tensors(file) for file in files)), stage
    spent, other = sizes(first), sizes(second)
    assert spent.keys() == other.keys()
    assert all(abs(other[key] - size) < 500 for key, size in spent.items()), "but for digits of times, and paths"
    assert (runs[1] / "sites" / "site_a" / "worker.log").is_file()
    assert not list((runs[1] / "sites" / "site_a" / "exchange").iterdir()), "the workers are ended"


def sizes(record: dict[str, Any]) -> dict[tuple[str, ...], int]:
    """Bytes by site, way and stage."""
    return {(row["site"], row["direction"], row["stage"]): row["bytes"] for row in record["bytes"]["entries"]}


def test_a_site_that_cannot_read_its_images_ends_the_run_with_its_name(sites: Path, tmp_path: Path) -> None:
    """Its file's name stays in its own log."""
    shutil.copytree(sites, tmp_path / "sites")
    document = json.loads((tmp_path / "sites" / "site_b" / "datalist.json").read_text())
    image = tmp_path / "sites" / "site_b" / document["training"][0]["image"]
    image.write_bytes(b"no image")
    layout = replace(layout_of(sites, tmp_path / "run"), sites=tmp_path / "sites")
    verdict = simulate_locally("pfedsam", settings_of("pfedsam"), layout)
    assert verdict.startswith("incomplete: dsf_facts: 1 of 2 needed sites answered (site_b: DataError")
    assert image.stem not in json.dumps(read_json(tmp_path / "run" / "record.json"))
    assert (tmp_path / "run" / "report.html").is_file(), "a report of what there is"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unseen": ["site_z"]}, "--unseen: site_z is none of the sites"),
        ({"unseen": ["site_b"]}, "fewer than min_sites"),
        ({"min_sites": 3}, "fewer than min_sites"),
    ],
)
def test_sites_that_are_not_there_are_named_before_anything_is_written(
    sites: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        simulate_locally("pfedsam", settings_of("pfedsam", **changes), layout_of(sites, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_without_sites_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no site folder"):
        simulate_locally("pfedsam", settings_of("pfedsam"), layout_of(tmp_path, tmp_path / "run"))
