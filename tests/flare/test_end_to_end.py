# SPDX-License-Identifier: Apache-2.0
"""The whole workflow with real NVFlare processes: what a user finds when the command has ended."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from monai.bundle import run as bundle_run
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.store.files import read_json
from tests.runs.recording import Recording
from tests.runs.stored import assert_same, released, stage_tensors

pytestmark = pytest.mark.federation
METHODS = {
    "local", "fedavg", "fedavg_equal_steps", "fedprox", "dsfedmed", "centralised", "teacher_before", "teacher",
    "fedsam", "fedmsa",
}  # fmt: skip


SOURCES = ("site_a", "site_b", "site_c")


@pytest.fixture(scope="module")
def federation(dsfedmed_over_nvflare: Recording) -> Recording:
    return dsfedmed_over_nvflare


@pytest.fixture(scope="module")
def results(federation: Recording) -> dict:
    return read_json(federation.run / "results.json")


def test_results_follow_the_documented_schema_and_name_every_method(results, federation):
    from dsfedmed.reporting import results as module

    schema = json.loads((Path(module.__file__).parent / "results.schema.json").read_text())
    jsonschema.validate(results, schema)
    assert results["verdict"] == "complete"
    assert set(results["methods"]) == METHODS
    assert results["sites"] == ["site_a", "site_b", "site_c"]
    assert results["unseen"] == ["site_d"]
    for method in METHODS - {"local"}:
        assert set(results["methods"][method]["per_site"]) == {"site_a", "site_b", "site_c", "site_d"}


def test_equal_steps_means_as_many_local_gradient_steps_at_least(federation):
    budgets = read_json(federation.run / "record.json")["budgets"]
    assert budgets["fedavg"]["rounds"] == budgets["dsfedmed"]["rounds"] == 3
    assert budgets["fedavg"]["local_steps"] < budgets["dsfedmed"]["local_steps"]
    assert budgets["fedprox"] == budgets["fedavg"], "as many rounds and steps"
    assert budgets["fedmsa"] == budgets["fedsam"]
    assert budgets["fedavg_equal_steps"]["local_steps"] >= budgets["dsfedmed"]["local_steps"]


def test_progress_names_stage_round_site_and_eta(federation):
    assert "rounds: 3/3" in federation.output
    assert "stage ETA" in federation.output
    assert "site_a" in federation.output
    status = read_json(federation.run / "status.json")
    assert status["sites"]["site_a"].startswith("dsf_evaluate done")


def test_the_sealed_set_lies_verified_at_every_site_and_at_the_server(federation):
    manifest = Manifest.from_dict(read_json(federation.run / "store" / "synthesise.json")["info"])
    kept = read_json(federation.run / "store" / "audit.json")["info"]["kept"]
    server = SyntheticSet.open(federation.run / "synthetic", manifest, kept)
    for site in SOURCES:
        theirs = SyntheticSet.open(federation.run / "sites" / site / "synthetic", manifest, kept)
        assert torch.equal(server.images(), theirs.images())
    assert not (federation.run / "sites" / "site_d" / "synthetic").exists()


def test_the_ledger_counts_at_least_the_tensors_and_at_most_a_little_more(federation, results):
    """Every tensor of the rounds went through NVFlare: 2 bytes a weight, up and down, for each source site."""
    record = read_json(federation.run / "record.json")
    parameters = record["parameters"]["light"]
    rounds = record["config"]["rounds"]
    rows = [row for row in record["bytes"]["entries"] if row["stage"] == "rounds"]
    for site in SOURCES:
        up = sum(row["bytes"] for row in rows if row["site"] == site and row["direction"] == "up")
        assert 2 * parameters * rounds <= up <= 2 * parameters * rounds * 1.1 + 100_000
        down = sum(row["bytes"] for row in rows if row["site"] == site and row["direction"] == "down")
        assert down >= 2 * parameters * (rounds + 1)
    unseen = [row for row in record["bytes"]["entries"] if row["site"] == "site_d" and row["stage"] == "rounds"]
    assert sum(row["bytes"] for row in unseen) < 20_000, "the unseen site takes no part in the rounds"
    method = [row["bytes"] for row in record["bytes"]["entries"] if row["purpose"] == "method"]
    assert results["bytes"]["up"] + results["bytes"]["down"] == sum(method)


def test_fedmsa_moves_a_part_of_what_fedsam_moves(federation):
    """Adapters and decoder only: of this tiny teacher still most of it, of SAM ViT-B 12 % (tests/networks)."""
    rows = read_json(federation.run / "record.json")["bytes"]["entries"]
    adapters, whole = (
        sum(row["bytes"] for row in rows if row["stage"] == f"compare {name}") for name in ("fedmsa", "fedsam")
    )
    assert 0 < adapters < whole


def test_no_pixel_path_or_name_left_a_site(federation):
    """What the server keeps of the sites' replies holds no file name and no path of theirs."""
    names = {path.stem for path in (federation.sites / "site_a" / "images").iterdir()}
    kept = (federation.run / "record.json").read_text() + (federation.run / "results.json").read_text()
    assert not [name for name in names if name in kept]
    assert str(federation.sites) not in kept


def test_report_is_one_file_with_pictures(federation):
    page = (federation.run / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 3, "contact sheets"
    assert page.count("data:image/jpeg;base64,") >= 6, "cases"
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    index = read_json(federation.run / "sites" / "site_d" / "pictures" / "index.json")
    assert {picture["method"] for picture in index} >= {"dsfedmed", "fedavg"}, "and every other that was scored"


def test_tensorboard_events_come_through_nvflare(federation):
    folders = {path.parent for path in (federation.run.parent / "ws").rglob("events.out.tfevents*")}
    tags: set[str] = set()
    for folder in folders:
        events = EventAccumulator(str(folder))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    assert any("dsfedmed/loss" in tag for tag in tags)
    assert any("dsfedmed/validation_dice" in tag for tag in tags)


def test_the_release_is_a_bundle_that_infers_at_the_image_s_own_size(federation, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    source = next((federation.sites / "site_d" / "images").iterdir())
    picture = Image.open(source).resize((90, 52))
    picture.save(images / "case.png")
    release = federation.run / "release"
    folders = {"bundle_root": str(release), "dataset_dir": str(images), "output_dir": str(tmp_path / "out")}
    bundle_run(config_file=str(release / "configs/inference.json"), **folders)
    masks = list((tmp_path / "out").rglob("*.png"))
    assert len(masks) == 1
    mask = np.asarray(Image.open(masks[0]))
    assert mask.shape == (52, 90)
    assert mask.dtype == np.uint8


def test_the_release_holds_the_best_round_by_source_site_validation(federation):
    state = stage_tensors(federation.run, "training-dsfedmed")
    weights = released(federation.run)
    assert_same(weights, {name: state[f"best/{name}"] for name in weights})


def test_every_reply_passed_the_hospitals_own_guard(federation: Recording) -> None:
    """It stands before the job's own filter; nothing was refused, and all was counted."""
    for site in (*SOURCES, "site_d"):
        sent = read_json(federation.run / "sites" / site / "egress.json")
        kinds = {"facts", "verdict", "masks", "branch", "update", "network"} if site in SOURCES else {"facts"}
        assert set(sent) == kinds
        assert sent["facts"]["replies"] >= 2
    assert sent["facts"]["bytes"] < 1_000_000
    packed = [m for task in ("dsf_base", "dsf_train") for m in federation.tensors("site_a", task) if m]
    assert read_json(federation.run / "sites" / "site_a" / "egress.json")["update"]["replies"] >= len(packed) > 3
