# SPDX-License-Identifier: Apache-2.0
"""A site's look by hand, and which site is unlike the others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.review.look import SiteLook, site_look
from dsfedmed.data.review.standing_out import standing_out
from tests.data.conftest import write_image

LOOK = SiteLook(0.1, 0.1, 0.02, (256, 256), (0.5, 0.5))


def flat_site(folder: Path, count: int) -> Path:
    """Images of 10 x 6 (x, y): a half of grey 51, a half of 102, and 6 of 60 pixels labelled."""
    image, label = np.full((6, 10), 51, np.uint8), np.zeros((6, 10), np.uint8)
    image[:, 5:], label[:, 0] = 102, 1
    entries = []
    for number in range(count):
        write_image(folder / f"{number}.png", image)
        write_image(folder / f"{number}_label.png", label)
        entries.append({"image": f"{number}.png", "label": f"{number}_label.png"})
    document = {"labels": {"0": "background", "1": "lesion"}, "training": entries[1:], "validation": entries[:1]}
    write_image(folder / "test.png", np.full((60, 100), 255, np.uint8))
    (folder / "datalist.json").write_text(json.dumps({**document, "test": [{"image": "test.png"}]}))
    return folder


def test_a_look_by_hand(tmp_path: Path) -> None:
    expected = SiteLook(grey_mean=0.3, grey_spread=0.1, foreground=0.1, size=(10, 6), spacing=(0.0, 0.0))
    look = site_look(load_datalist(flat_site(tmp_path, 5)))
    assert look == expected, "the test part does not count"
    assert SiteLook.from_dict(json.loads(json.dumps(look.__dict__))) == look


def test_few_images_are_not_told_of(tmp_path: Path) -> None:
    assert site_look(load_datalist(flat_site(tmp_path, 4))) is None


def test_the_spacing_is_that_of_the_files(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 100, (8, 6, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([0.5, 0.75, 3.0, 1.0])), tmp_path / "a.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(np.ones((8, 6, 5), np.uint8), np.diag([0.5, 0.75, 3.0, 1.0])), tmp_path / "a_label.nii.gz"
    )
    entry = {"image": "a.nii.gz", "label": "a_label.nii.gz"}
    document = {"labels": {"0": "background", "1": "lesion"}, "training": [entry]}
    (tmp_path / "datalist.json").write_text(json.dumps(document))
    look = site_look(load_datalist(tmp_path))
    assert look is not None
    assert (look.spacing, look.size, look.foreground) == ((0.5, 0.75), (8, 6), 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grey_mean": 0.65}, "mean grey value is 0.65 where the others have 0.1"),
        ({"grey_spread": 0.3}, "spread of grey values is 0.3 where the others have 0.1"),
        ({"foreground": 0.2}, "labelled share is 0.2 where the others have 0.02"),
        ({"foreground": 0.0}, "labelled share is 0 where the others have 0.02"),
        ({"size": (1024, 1024)}, "image size is 1024 where the others have 256 pixels"),
        ({"spacing": (5.0, 5.0)}, "spacing is 5 where the others have 0.5 mm"),
    ],
)
@pytest.mark.parametrize("sites", [3, 5])
def test_the_odd_site_is_named_with_both_numbers(change: dict[str, object], words: str, sites: int) -> None:
    looks = {f"site_{n}": LOOK for n in range(sites - 1)} | {"odd": replace(LOOK, **change)}  # type: ignore[arg-type]
    assert standing_out(looks) == {"odd": [f"its {words}"]}


def test_sites_that_scatter_do_not_stand_out() -> None:
    greys = (0.05, 0.2, 0.35, 0.5, 0.65)
    assert standing_out({str(grey): replace(LOOK, grey_mean=grey) for grey in greys}) == {}
    assert standing_out({"a": LOOK, "b": replace(LOOK, grey_mean=0.25), "c": LOOK}) == {}, "below the floor"
    assert standing_out({"alone": LOOK}) == {}
    assert standing_out({}) == {}


def test_of_two_sites_both_are_told_and_unknown_spacing_is_not_compared() -> None:
    far = replace(LOOK, grey_mean=0.9, spacing=(0.0, 0.0))
    assert standing_out({"a": LOOK, "b": far}) == {
        "a": ["its mean grey value is 0.1 where the others have 0.9"],
        "b": ["its mean grey value is 0.9 where the others have 0.1"],
    }
