# SPDX-License-Identifier: Apache-2.0
"""Four named channels, in another order at every second site, at a side that no network divides: check to release."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from dsfedmed.bundles.checks import require_bundle
from dsfedmed.cli import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.settings import Settings, merge
from tests.runs.commands import BUNDLES
from tests.runs.other_pictures import NAMES, with_four_channels
from tests.runs.tiny import NOTHING, TINY

SIDE = 36
COUNTS = {"training": 4, "validation": 8, "test": 2}


@pytest.fixture(scope="module")
def four_channels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the sites' folder and the run folder of a complete run."""
    folder = tmp_path_factory.mktemp("four")
    make_demo_sites(folder / "sites", 0, ("site_a", "site_b"), **COUNTS)
    for name, order in (("site_a", NAMES), ("site_b", NAMES[::-1])):
        with_four_channels(folder / "sites" / name, order)
    settings = Settings.from_dict(merge(TINY, {"image_size": SIDE, "compare": NOTHING}))
    assert (
        simulate_locally("dsfedmed", settings, SimulatedSites(folder / "sites", folder / "run", BUNDLES)) == "complete"
    )
    return folder / "sites", folder / "run"


def test_the_sites_pass_their_check(four_channels: tuple[Path, Path]) -> None:
    parser = argparse.ArgumentParser()
    check_site.configure(parser)
    assert check_site.run(parser.parse_args([str(four_channels[0] / site) for site in ("site_a", "site_b")])) == 0


def test_the_release_says_its_channels_and_segments_a_file_of_four(
    four_channels: tuple[Path, Path], tmp_path: Path
) -> None:
    sites, run = four_channels
    release = run / "release"
    require_bundle(release, weights=True)
    metadata = json.loads((release / "configs/metadata.json").read_text())
    image = metadata["network_data_format"]["inputs"]["image"]
    assert (image["num_channels"], image["spatial_shape"]) == (4, [SIDE, SIDE])
    assert image["channel_def"] == {str(k): name for k, name in enumerate(NAMES)}
    assert "4 channel(s) in the order ADC, flair, T1, T2" in (release / "docs/README.md").read_text()
    item = load_datalist(sites / "site_a").parts["test"][0]
    (tmp_path / "in").mkdir()
    pixels = np.load(item.image)
    np.save(tmp_path / "in/case.npy", pixels)
    flow = ConfigWorkflow(
        config_file=str(release / "configs/inference.json"), meta_file=str(release / "configs/metadata.json"),
        workflow_type="infer", bundle_root=str(release), dataset_dir=str(tmp_path / "in"),
        output_dir=str(tmp_path / "out"), device="cpu",
    )  # fmt: skip
    flow.initialize()
    flow.run()
    flow.finalize()
    mask = np.asarray(Image.open(tmp_path / "out/case_mask.png"))
    assert mask.shape == pixels.shape[:2]
    assert set(np.unique(mask)) <= {0, 1}


def test_the_set_and_the_report_are_of_four_channels(four_channels: tuple[Path, Path]) -> None:
    record = json.loads((four_channels[1] / "record.json").read_text())
    assert all(facts["channel_names"] == list(NAMES) for facts in record["facts"].values())
    page = (four_channels[1] / "report.html").read_text()
    assert "Shown: channel 1 of 4 (ADC)." in page
    assert "; channel 1 of 4 (ADC)" in page
