# SPDX-License-Identifier: Apache-2.0
"""Every rule of thumb by hand."""

from __future__ import annotations

import pytest

from dsfedmed.planning.proposal import (
    Choice,
    options,
    propose,
    propose_batch,
    propose_network,
    propose_preset,
    propose_rounds,
    propose_size,
)
from dsfedmed.settings import Settings
from tests.planning.samples import site


@pytest.mark.parametrize(
    ("side", "across", "gpu", "size", "why"),
    [
        (256, 0.2, False, 64, "at most 4 times smaller"),  # 256 / 4 = 64, objects from 20 px on
        (256, 0.05, False, 96, "the smallest objects are 4 px across"),  # 4 / 0.05 = 80
        (256, 0.02, False, 128, "the most for CPU cores; its smallest objects are 2.6 px"),  # 200 are wanted
        (256, 0.02, True, 256, "the smallest objects are 4 px across"),
        (1024, None, False, 128, "the most for CPU cores"),  # 256 are wanted
        (1024, None, True, 256, "at most 4 times smaller"),
        (1100, None, True, 256, "the most for a GPU"),  # 275
        (100, 0.03, False, 96, "the images have no more"),  # 133 are wanted, and there are 100
        (40, 0.5, False, 64, "at most 4 times smaller"),  # nothing below 64
    ],
)
def test_the_image_size(side: int, across: float | None, gpu: bool, size: int, why: str) -> None:
    found = propose_size([site(side=side, across=across), site(side=32, across=None)], gpu)
    assert found.value == size
    assert why in found.reason


def test_a_larger_network_wants_images_and_a_gpu() -> None:
    assert propose_network({"a": 600, "b": 400}, gpu=True).value == "light_flexible_unet_segmentation"
    for training, gpu in (({"a": 600, "b": 399}, True), ({"a": 600, "b": 400}, False)):
        assert propose_network(training, gpu).value == "light_unet_segmentation"


@pytest.mark.parametrize(("images", "usual", "batch"), [(31, 16, 8), (32, 16, 16), (20, 4, 4)])
def test_a_small_site_takes_smaller_batches(images: int, usual: int, batch: int) -> None:
    assert propose_batch({"a": 200, "b": images}, usual).value == batch


def test_the_rounds_come_to_two_thousand_steps() -> None:
    # 13 + 4 + 4 steps a pass, three passes a round: 63; 2,000 / 63 = 31.7
    found = propose_rounds({"a": 203, "b": 54, "c": 64}, 16, 3)
    assert (found.value, found.reason) == (32, "63 gradient steps a round, 2,016 in all")
    assert propose_rounds({"a": 9000}, 16, 1).value == 5  # 563 a round
    assert propose_rounds({"a": 20}, 16, 1).value == 60  # 2 a round


def test_what_is_given_is_not_proposed_and_decides_about_the_rest() -> None:
    base = Settings.from_dict({"light": {"batch_size": 4, "epochs_per_round": 2}})
    found = propose(base, [site(training=20)], gpu=False, given=("light.batch_size", "image_size"))
    assert [choice.key for choice in found] == ["light.bundle", "rounds"]
    assert found[1].value == 60  # 10 steps a round
    assert propose(base, [site(training=100)], False, ())[3].value == 40  # 25 steps a pass


def test_only_what_differs_is_to_be_pasted() -> None:
    base = Settings.from_dict({"rounds": 20, "image_size": 64})
    choices = [propose_preset(gpu=False), Choice("image_size", 96, ""), Choice("rounds", 20, "")]
    assert options(choices, base) == ["--preset", "cpu", "--set", "image_size=96"]
    assert "`paper` needs" in propose_preset(gpu=True).reason
