# SPDX-License-Identifier: Apache-2.0
"""pFedSAM in one process: what is learned, what leaves a site, and that no expert weight ever does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import run as bundle_run

from dsfedmed.algorithms.product_mean import UP
from dsfedmed.bundles.checks import require_bundle
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.networks.checkpoints import load_state
from dsfedmed.networks.local_experts import EXPERTS
from dsfedmed.store.files import read_json, read_tensors
from tests.runs.commands import ROOT
from tests.runs.recording import Recording, assert_no_pixels
from tests.runs.stored import released

SOURCES = ("site_a", "site_b", "site_c")


@pytest.fixture(scope="module")
def recording(pfedsam_in_process: Recording) -> Recording:
    """A small teacher, rates at which something moves, whole weights in fp32 on the wire."""
    return pfedsam_in_process


def personal_weights(recording: Recording, site: str, name: str = "pfedsam-0002") -> dict[str, torch.Tensor]:
    return read_tensors(recording.run / "sites" / site / "personal" / f"{name}.safetensors")


def test_the_record_holds_both_branches_and_the_baseline(recording: Recording) -> None:
    results = read_json(recording.run / "results.json")
    assert results["verdict"] == "complete"
    assert results["missing"] == []
    assert {"pfedsam", "pfedsam_global", "fedsam"} <= set(results["methods"])
    compared = results["comparisons"]["equal_rounds"]
    assert compared["baseline"] == "fedsam" if compared else results["untrained"], "rounds no better than the start"
    branches = results["methods"]
    assert branches["pfedsam"]["per_site"]["site_d"] == branches["pfedsam_global"]["per_site"]["site_d"]
    unwanted = [event for event in results["events"] if event["kind"] != "stands out"]
    assert unwanted == [], "every source site was scored with its own branch"


def test_every_site_has_a_personal_branch_of_its_own(recording: Recording) -> None:
    first, second = (personal_weights(recording, site) for site in SOURCES[:2])
    assert first.keys() == second.keys()
    experts = [name for name in first if EXPERTS in name]
    assert experts
    assert any(not torch.equal(first[name], second[name]) for name in experts)
    best = read_json(recording.run / "sites" / "site_a" / "personal" / "pfedsam-best.json")
    assert 0 <= best["validation_dice"] <= 1
    assert not (recording.run / "sites" / "site_d" / "personal").exists()


def test_every_branch_was_scored_at_every_site(recording: Recording) -> None:
    """Read from the sites' folders, which a simulation has; on its own site's images it is what that site scored."""
    record = read_json(recording.run / "record.json")
    square = record["cross_site"]["pfedsam"]
    assert [set(square[site]) for site in SOURCES] == [{*SOURCES, "site_d"}] * 3
    for site in SOURCES:
        own = [case["dice"][0] for case in record["cases"]["pfedsam"][site]]
        assert square[site][site] == pytest.approx(sum(own) / len(own), abs=1e-6)


@pytest.mark.parametrize("site", SOURCES)
def test_no_expert_weight_crossed_the_wire(recording: Recording, site: str) -> None:
    """By name in every tensor that left, and by value in every byte that left, in fp32 and fp16."""
    sent = recording.tensors(site, "dsf_personal")
    assert len(sent) == 6, (
        "two rounds, the second round's trial (all, and without each of the two others), the last validation"
    )
    assert all(any(name.endswith(UP) for name in message) for message in sent[:2])
    assert not [name for message in sent for name in message if EXPERTS in name]
    bodies = b"\0".join(recording.bodies(site)) + recording.heads(site).encode()
    assert b"experts" not in bodies
    for number in ("0001", "0002"):
        for name, tensor in personal_weights(recording, site, f"pfedsam-{number}").items():
            if EXPERTS in name and tensor.numel() >= 4 and float(tensor.abs().sum()) > 0:
                for kind in (torch.float32, torch.float16):
                    assert tensor.to(kind).numpy().tobytes() not in bodies, name


def test_the_global_branch_did_cross_it(recording: Recording) -> None:
    """The test above would find what is there: the first round's update, as it was sent."""
    message = recording.tensors("site_a", "dsf_personal")[0]
    name = next(name for name in message if name.endswith(UP))
    bodies = b"\0".join(recording.bodies("site_a"))
    assert message[name].contiguous().numpy().tobytes() in bodies


def test_the_release_is_the_global_branch_as_a_sam_bundle(recording: Recording) -> None:
    release = recording.run / "release"
    network = BundleDefinition(release, {}).network()
    load_state(network, released(recording.run), "release")
    assert not any("lora" in name for name in network.state_dict())
    assert not (release / "large_files.yml").exists(), "nothing is to be downloaded"
    assert (ROOT / "bundles" / "promptless_sam_segmentation" / "large_files.yml").exists()


@pytest.mark.parametrize("site", SOURCES)
def test_every_site_has_its_personal_branch_as_a_bundle(recording: Recording, site: str) -> None:
    """The scored branch itself, frozen layers and experts included, with the site's own test figure."""
    own = recording.run / "sites" / site / "personal" / "release"
    require_bundle(own, weights=True)
    weights = torch.load(own / "models" / "model.pt", weights_only=True)
    kept = personal_weights(recording, site, "pfedsam-best")
    assert [name for name in kept if EXPERTS in name]
    assert all(torch.equal(weights[name], tensor) for name, tensor in kept.items())
    figures = read_json(own / "configs" / "metadata.json")["eval_metrics"]
    measured = read_json(recording.run / "results.json")["methods"]["pfedsam"]["per_site"][site]
    for name in ("dice", "iou", "hd95"):
        assert figures[f"own site {name}"] == pytest.approx(measured[name]["mean"], abs=1e-4)
    assert not (recording.run / "sites" / "site_d" / "personal").exists()


def test_the_personal_bundle_segments_images_by_its_cards_command(
    recording: Recording, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recording.run / "sites" / "site_a" / "personal" / "release")
    folders = {"dataset_dir": str(sites / "site_a" / "images"), "output_dir": str(tmp_path / "masks")}
    bundle_run(config_file="configs/inference.json", **folders)
    images = [path for path in (sites / "site_a" / "images").iterdir() if path.is_file()]
    assert len(list((tmp_path / "masks").rglob("*.png"))) == len(images) > 0


@pytest.mark.parametrize("site", SOURCES)
def test_no_pixel_leaves(recording: Recording, site: str) -> None:
    assert_no_pixels(recording, site)
