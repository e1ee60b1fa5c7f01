# SPDX-License-Identifier: Apache-2.0
"""The same cases under every method, whichever request scored it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.evaluation.protocol import ScoredImage
from dsfedmed.federated.site.case_pictures import draw_cases, keep_masks
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.reporting.pictures import read_picture_index

PAIR = ("dsfedmed", "fedavg")
DICE: dict[str, tuple[float, ...]] = {
    "dsfedmed": (0.9, 0.2, 0.6),
    "fedavg": (0.4, 0.8, 0.5),
    "teacher": (0.1, 0.1, 0.1),
}


def scored(site: SiteContext, dice: tuple[float, ...], fill: bool = False) -> list[ScoredImage]:
    """Return three images, the first two of the test part and one of training, whose predictions are empty or full."""
    items = (*site.datalist.parts["test"], site.datalist.parts["training"][0])
    found = []
    for index, (item, value) in enumerate(zip(items, dice, strict=True)):
        mask = torch.zeros(1, 80, 64, dtype=torch.bool)
        mask[:, 20:40, 20:40] = True
        metrics = CaseMetrics((value,), (value / 2,), (1.0,))
        found.append(ScoredImage(index, item, mask, torch.full_like(mask, fill), metrics, (True,), (fill,)))
    return found


def test_the_cases_are_chosen_by_the_difference_and_are_the_same_for_all(site: SiteContext) -> None:
    """0.5, -0.6 and 0.1: the second case is the worst, though it is not the worst of every method."""
    for method, dice in DICE.items():
        images = scored(site, dice, fill=method == "fedavg")
        keep_masks(site, method, images)
        draw_cases(site, images, PAIR, 1)
    pictures = read_picture_index(site.folder / "pictures")
    cases = [image.item.case for image in scored(site, DICE["teacher"])]
    assert {(p.method, p.rank): p.case for p in pictures} == {
        (method, rank): cases[index] for method in DICE for rank, index in (("worst", 1), ("best", 0), ("median", 2))
    }
    assert {p.rank: p.difference for p in pictures} == pytest.approx({"worst": -0.6, "best": 0.5, "median": 0.1})
    assert {p.method: p.dice for p in pictures if p.rank == "worst"} == {"dsfedmed": 0.2, "fedavg": 0.8, "teacher": 0.1}
    files = {path.name for path in (site.folder / "pictures").glob("*.png")}
    assert files == {p.file for p in pictures}


def test_a_kept_mask_is_drawn_as_it_was(site: SiteContext) -> None:
    """FedAvg marked everything, so that its outline is the image's border; DSFedMed marked nothing."""
    from PIL import Image

    for method, fill in (("fedavg", True), ("dsfedmed", False)):
        keep_masks(site, method, scored(site, DICE[method], fill))
    draw_cases(site, scored(site, DICE["dsfedmed"]), PAIR, 1)
    corner: dict[str, Any] = {}
    for method in PAIR:
        with Image.open(site.folder / "pictures" / f"{method}-worst.png") as picture:
            corner[method] = np.asarray(picture.convert("RGB"))[0, 0].tolist()
    assert corner["fedavg"] == [255, 112, 32]
    assert corner["dsfedmed"] != corner["fedavg"]


@pytest.mark.parametrize("pair", [PAIR, None])
def test_until_both_are_scored_the_methods_own_dice_chooses(site: SiteContext, pair: tuple[str, str] | None) -> None:
    images = scored(site, DICE["dsfedmed"])
    keep_masks(site, "dsfedmed", images)
    draw_cases(site, images, pair, 1)
    pictures = {p.rank: p for p in read_picture_index(site.folder / "pictures")}
    assert {rank: p.dice for rank, p in pictures.items()} == {"worst": 0.2, "best": 0.9, "median": 0.6}
    assert all(p.difference is None for p in pictures.values())


def test_masks_of_another_number_of_images_are_left_out(site: SiteContext) -> None:
    """Another run in the same folder may have had other test images."""
    keep_masks(site, "fedavg", scored(site, DICE["fedavg"])[:2])
    keep_masks(site, "dsfedmed", scored(site, DICE["dsfedmed"]))
    draw_cases(site, scored(site, DICE["dsfedmed"]), PAIR, 1)
    assert {p.method for p in read_picture_index(site.folder / "pictures")} == {"dsfedmed"}
