# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a made-up site by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import site_facts
from dsfedmed.planning.fingerprint import fingerprint
from tests.planning.samples import look, site


def test_medians_ranges_and_shares_by_hand(tmp_path: Path) -> None:
    (folder,) = make_demo_sites(tmp_path, 0, ("site_a",), training=3, validation=1, test=2)
    datalist = load_datalist(folder)
    looks = [
        look(),
        look(size=(20, 60), mean=0.6, contrast=-0.4, areas=(0.08,), objects=((0.1, 0.3),), spacing=(0.5, 0.2)),
        look(size=(30, 40), contrast=None, areas=(0.0,), objects=((),)),
        look(areas=None, objects=()),
    ]
    found = fingerprint("Site A", False, datalist, site_facts(datalist), looks)
    assert (found.name, found.takes_part, found.looked_at) == ("Site A", False, 4)
    assert found.counts == {"training": 3, "validation": 1, "test": 2}
    assert (found.cases, found.channels, found.kinds) == (6, 1, (".png",))
    assert (found.sides, found.shortest, found.longest, found.longer_side) == ((35, 35), 20, 60, 35)
    assert found.spacing == (0.5, 0.2)
    (lesion,) = found.classes
    assert lesion.shown == pytest.approx(2 / 3)  # two of the three that have a mask
    assert lesion.share == pytest.approx(0.06)
    assert lesion.across == pytest.approx(0.2)  # median of 0.2, 0.1 and 0.3
    assert found.grey == (pytest.approx(0.375), pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.5))
    assert (found.contrast, found.brighter) == (pytest.approx(0.2), pytest.approx(2 / 3))


def test_the_smallest_object_is_that_of_the_smallest_class() -> None:
    assert site(across=0.2).smallest_object == 0.2
    assert site(across=None).smallest_object is None
