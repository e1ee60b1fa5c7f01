# SPDX-License-Identifier: Apache-2.0
"""Made-up sites: valid, seeded, different by site and not solved by a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import DEVICES, SITES, draw_scan, make_demo_sites
from dsfedmed.data.facts import merge_facts, site_facts
from dsfedmed.errors import DataError


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


def test_grey_values_alone_do_not_find_lesions() -> None:
    for site in SITES:
        scores = []
        for number in range(12):
            image, label = draw_scan(np.random.default_rng(number), (80, 64), DEVICES[site])
            best = max(
                2 * ((image < t) & (label > 0)).sum() / ((image < t).sum() + label.sum()) for t in np.linspace(0, 1, 41)
            )
            scores.append(best)  # the best threshold of each image by itself: more than any method may know
            assert 0.01 < label.mean() < 0.4
        assert np.mean(scores) < 0.75, site


def test_the_unseen_device_lies_outside_the_others() -> None:
    seen = [DEVICES[site] for site in SITES[:3]]
    assert DEVICES["site_d"].gamma < min(device.gamma for device in seen)
    assert DEVICES["site_d"].depth_gain > max(device.depth_gain for device in seen)
    assert DEVICES["site_d"].grain[0] > max(device.grain[0] for device in seen)


@pytest.mark.parametrize(
    "arguments", [{"size": (20, 64)}, {"training": -1}, {"training": 0, "validation": 0, "test": 0}]
)
def test_impossible_sites_are_refused(tmp_path: Path, arguments: dict[str, object]) -> None:
    with pytest.raises(DataError):
        make_demo_sites(tmp_path, **arguments)  # type: ignore[arg-type]
