# SPDX-License-Identifier: Apache-2.0
"""Made-up sites: valid, seeded, at odds with each other and not solved by a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.device import DEVICES
from dsfedmed.data.demo.scene import Field
from dsfedmed.data.demo.sites import SITES, draw_scan, make_demo_sites
from dsfedmed.data.facts import merge_facts, site_facts
from dsfedmed.errors import DataError

Scan = tuple[Field, Field]
Scans = dict[str, list[Scan]]
THRESHOLDS = np.linspace(0.0, 1.0, 41)


def test_sites_are_valid_and_agree(tmp_path: Path) -> None:
    folders = make_demo_sites(tmp_path, training=4, validation=2, test=2)
    assert [folder.name for folder in folders] == list(SITES)
    assert all(check_site(folder) == [] for folder in folders)
    facts = {folder.name: site_facts(load_datalist(folder)) for folder in folders}
    assert merge_facts(facts).channels == 1
    assert (facts["site_a"].size_min, facts["site_a"].size_max) == ((72, 64), (80, 64))
    assert facts["site_a"].counts == {"training": 4, "validation": 2, "test": 2}


def test_the_seed_decides_and_counts_do_not(tmp_path: Path) -> None:
    few = make_demo_sites(tmp_path / "few", 7, ("site_a",), 2, 1, 1)[0]
    more = make_demo_sites(tmp_path / "more", 7, ("site_a",), 3, 1, 1)[0]
    other = make_demo_sites(tmp_path / "other", 8, ("site_a",), 2, 1, 1)[0]
    name = "images/training_0001.png"
    assert (few / name).read_bytes() == (more / name).read_bytes()
    assert (few / name).read_bytes() != (other / name).read_bytes()


def test_a_site_of_another_name_gets_its_own_device(tmp_path: Path) -> None:
    north, south = make_demo_sites(tmp_path, 0, ("north", "south"), 1, 0, 0)
    names = "images/training_0000.png"
    assert (north / names).read_bytes() != (south / names).read_bytes()


@pytest.fixture(scope="module")
def scans() -> Scans:
    """The same twelve anatomies at every site."""
    return {
        site: [draw_scan(np.random.default_rng(number), (80, 64), DEVICES[site]) for number in range(12)]
        for site in SITES
    }


def threshold_dice(scans: list[Scan]) -> NDArray[np.float64]:
    """Mean Dice by threshold, (2, T): of what is brighter, and of what is darker."""
    scores = np.zeros((2, len(THRESHOLDS)))
    for image, label in scans:
        for column, threshold in enumerate(THRESHOLDS):
            for row, found in enumerate((image > threshold, image < threshold)):
                scores[row, column] += 2 * (found & (label > 0)).sum() / (found.sum() + label.sum())
    return scores / len(scans)


def test_sites_differ_by_device_and_not_by_anatomy(scans: Scans) -> None:
    for site in SITES[1:]:
        for (image, label), (first_image, first_label) in zip(scans[site], scans[SITES[0]], strict=True):
            np.testing.assert_array_equal(label, first_label)
            assert np.abs(image - first_image).mean() > 0.02


def test_contrasts_are_opposite(scans: Scans) -> None:
    """Mean of the object less that of the rest, in every image."""
    differences = {
        site: np.array([image[label > 0].mean() - image[label == 0].mean() for image, label in pairs])
        for site, pairs in scans.items()
    }
    assert differences["site_a"].min() > 0.2
    assert differences["site_d"].min() > 0.1
    assert differences["site_b"].max() < -0.2
    assert -0.2 < differences["site_c"].mean() < -0.05


def test_no_single_threshold_finds_lesions_everywhere(scans: Scans) -> None:
    by_site = {site: threshold_dice(pairs) for site, pairs in scans.items()}
    assert by_site["site_a"][0].max() > 0.8, "bright at the first site"
    assert by_site["site_b"][1].max() > 0.6, "dark at the second"
    assert by_site["site_c"].max() < 0.5, "at the third no threshold will do"
    assert np.mean([by_site[site] for site in SITES], axis=0).max() < 0.5
    assert np.mean([by_site[site] for site in SITES[:3]], axis=0).max() < 0.4


@pytest.mark.parametrize(
    "arguments", [{"size": (20, 64)}, {"training": -1}, {"training": 0, "validation": 0, "test": 0}]
)
def test_impossible_sites_are_refused(tmp_path: Path, arguments: dict[str, object]) -> None:
    with pytest.raises(DataError):
        make_demo_sites(tmp_path, **arguments)  # type: ignore[arg-type]


def test_the_demo_says_that_its_images_are_made_up(tmp_path: Path) -> None:
    folder = make_demo_sites(tmp_path, 0, ("site_a",), training=1, validation=0, test=0)[0]
    assert load_datalist(folder).made_up is True
