# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed in one process: labels at one place only, one network everywhere or one at every site."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.networks.checkpoints import load_state
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json, read_tensors
from tests.runs.commands import ROOT
from tests.runs.local import run_in_process
from tests.runs.recording import Recording, assert_no_pixels
from tests.runs.smoke import RATE, smoke, unlabelled_copy
from tests.runs.stored import released

BUNDLES = {
    "site_b": "light_unet_segmentation",
    "site_c": "light_flexible_unet_segmentation",
    "site_e": "light_tinysam_segmentation",
}
UNLABELLED = {"homogeneous": ("site_b", "site_c"), "heterogeneous": tuple(BUNDLES)}


@pytest.fixture(scope="module")
def homogeneous(samfed_in_process: Recording) -> Recording:
    """FedAvg of one network."""
    return samfed_in_process


@pytest.fixture(scope="module")
def heterogeneous(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A network of its own at every site, and one site more."""
    folder = tmp_path_factory.mktemp("fusion")
    unlabelled = unlabelled_copy(sites, folder / "sites", tuple(BUNDLES))
    order = {"public_order": "first", "fusion_epochs": 2}  # the paper's; the homogeneous run has the other
    settings = smoke("samfed", method={"label_site": "site_a", "site_bundles": BUNDLES, **order})
    return run_in_process("samfed", settings, unlabelled, folder, pictures=True, public=unlabelled / "site_a")


@pytest.mark.parametrize("kind", UNLABELLED)
def test_it_runs_without_a_label_at_the_sites(kind: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(kind).run
    results = read_json(run / "results.json")
    assert results["verdict"] == "complete"
    assert results["missing"] == []
    assert set(results["methods"]) == {"samfed", "labels_only", "public_teacher"}
    for method in results["methods"].values():
        assert set(method["per_site"]) == {"site_a", *UNLABELLED[kind], "site_d"}
    comparison = results["comparisons"]["equal_steps"]
    assert comparison["baseline"] == "labels_only" if comparison else results["untrained"], "no better than the start"
    record = read_json(run / "record.json")
    per_site = record["budgets"]["samfed"]["local_steps"] / len(UNLABELLED[kind])
    assert record["budgets"]["labels_only"]["local_steps"] >= per_site
    assert [set(entry["validation"]) for entry in record["curves"]["samfed"]] == [{"public"}] * 2
    assert record["rounds_with_teacher"] in (0, 2), "both rounds go by the start"
    chosen = record["selected"]["samfed"]
    assert (chosen["round"], chosen["averaged_rounds"]) == (2, 2), "the preset ends with the mean of its rounds"
    assert f"SAM was heard in {record['rounds_with_teacher']} of 2 rounds" in (run / "report.html").read_text()


def test_the_label_site_trains_nothing(homogeneous: Recording) -> None:
    for task in ("dsf_label", "dsf_agree"):
        assert not homogeneous.tensors("site_a", task)
        assert homogeneous.tensors("site_b", task)
    assert homogeneous.tensors("site_a", "dsf_evaluate")


def test_the_rounds_have_their_own_rate(homogeneous: Recording) -> None:
    """Once for the first round, and not again for the second, which takes up the first one's optimiser."""
    changes = Settings.from_dict(read_json(homogeneous.run / "record.json")["config"]).light_settings
    start = float(changes.get("light_unet_segmentation/learning_rate", 1e-3))
    for number in (1, 2):
        kept = read_tensors(homogeneous.run / "sites" / "site_b" / "optimizer" / f"samfed-{number:04d}.safetensors")
        assert float(kept["group.0.lr"]) == pytest.approx(RATE * start)


def test_teacher_and_public_set_travel_once(homogeneous: Recording) -> None:
    manifest = Manifest.from_dict(read_json(homogeneous.run / "store" / "public set.json")["info"])
    server = SyntheticSet.open(homogeneous.run / "public", manifest)
    for site in UNLABELLED["homogeneous"]:
        theirs = SyntheticSet.open(homogeneous.run / "sites" / site / "synthetic", manifest)
        assert torch.equal(server.images(), theirs.images())
        assert len(homogeneous.tensors(site, "dsf_label")) == 1
        answers = read_tensors(homogeneous.run / "sites" / site / "samfed" / "answers.safetensors")["answers"]
        assert answers.shape == (12, 1, 32, 32)
        assert answers.dtype == torch.uint8
    entries = read_json(homogeneous.run / "record.json")["bytes"]["entries"]
    down = {e["stage"]: e["bytes"] for e in entries if e["direction"] == "down" and e["site"] == "site_b"}
    assert down["broadcast teacher"] > manifest.bytes


def test_what_a_heterogeneous_site_sends_are_its_answers_to_public_images(heterogeneous: Recording) -> None:
    assert not heterogeneous.tensors("site_b", "dsf_agree")
    architectures = set()
    for site in BUNDLES:
        first, second = heterogeneous.tensors(site, "dsf_fuse")
        for message in (first, second):
            assert {name: (t.dtype, tuple(t.shape)) for name, t in message.items()} == {
                "levels": (torch.uint8, (12, 1, 32, 32))
            }
        kept = sorted((heterogeneous.run / "sites" / site / "samfed").glob("samfed-own-*.safetensors"))
        network = BundleDefinition(ROOT / "bundles" / BUNDLES[site], {"image_size": [32, 32]}).network()
        tensors = read_tensors(kept[-1])
        own = dict(network.state_dict())
        assert all(own[name].shape == tensor.shape for name, tensor in tensors.items())
        architectures.add(frozenset(tensors))
    assert len(architectures) == 3, "a U-Net, a FlexibleUNet and TinySAM in one federation"


def test_own_networks_serve_their_sites_and_the_servers_all_others(heterogeneous: Recording) -> None:
    events = read_json(heterogeneous.run / "record.json")["events"]
    assert [event for event in events if event["kind"] != "stands out"] == []
    assert all((heterogeneous.run / "sites" / site / "pictures").is_dir() for site in (*BUNDLES, "site_d"))


def test_the_release_is_the_servers_network(heterogeneous: Recording) -> None:
    release = heterogeneous.run / "release"
    network = BundleDefinition(release, {}).network()
    load_state(network, released(heterogeneous.run), "release")


@pytest.mark.parametrize("kind", UNLABELLED)
def test_no_pixel_of_an_unlabelled_site_leaves(kind: str, request: pytest.FixtureRequest) -> None:
    for site in UNLABELLED[kind]:
        assert_no_pixels(request.getfixturevalue(kind), site)
