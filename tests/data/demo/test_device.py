# SPDX-License-Identifier: Apache-2.0
"""Made-up devices: levels by hand, contrasts that contradict each other, and one unseen device near two others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dsfedmed.data.demo import device as module
from dsfedmed.data.demo.anatomy import Anatomy
from dsfedmed.data.demo.device import DEVICES, MANNERS, Device, draw_device, show

PLAIN = Device(
    background=0.5,
    contrast=0.25,
    layers=0.0,
    texture=0.0,
    texture_sigma=1.0,
    speckle=0.0,
    grain=(1.0, 1.0),
    blur=0.0,
    gradient=0.0,
    gamma=1.0,
    noise=0.0,
)


def strips() -> Anatomy:
    """Four columns of y: tissue, lesion, hole, vessel, each 40 x 8."""
    lesions, holes, vessels = (np.zeros((40, 32)) for _ in range(3))
    lesions[:, 8:16], holes[:, 16:24], vessels[:, 24:] = 1.0, 1.0, 1.0
    return Anatomy(lesions, lesions, holes, vessels, np.ones((40, 32)))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices do not drift."""
    monkeypatch.setattr(module, "DRIFT", 0.0)


def shown(**changes: float) -> np.ndarray:
    return show(np.random.default_rng(0), strips(), replace(PLAIN, **changes))  # type: ignore[arg-type]


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({}, [0.5, 0.75, 0.25, 0.625]),
        ({"contrast": -0.25}, [0.5, 0.25, 0.75, 0.375]),
        ({"gamma": 2.0}, [0.25, 0.5625, 0.0625, 0.390625]),
        ({"layers": 0.1}, [0.6, 0.85, 0.35, 0.725]),
        ({"background": 0.2, "contrast": 0.9}, [0.2, 1.0, 0.0, 0.65]),
    ],
)
def test_levels_by_hand(changes: dict[str, float], levels: list[float]) -> None:
    image = shown(**changes)
    np.testing.assert_allclose(image[:, ::8], np.tile(levels, (40, 1)), atol=1e-12)


@pytest.mark.usefixtures("steady")
def test_the_gradient_brightens_from_left_to_right() -> None:
    image = shown(gradient=0.4)
    assert image[20, 0] == pytest.approx(0.5)
    np.testing.assert_allclose(np.log(image[1:, 0] / image[:-1, 0]), 0.4 / 40)


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", ["texture", "speckle", "noise"])
def test_texture_speckle_and_noise_scatter_the_tissue(what: str) -> None:
    assert shown()[:, :8].std() == 0.0
    assert shown(**{what: 0.1})[:, :8].std() > 0.01


@pytest.mark.usefixtures("steady")
def test_blur_softens_an_edge() -> None:
    assert np.abs(np.diff(shown(blur=2.0)[20])).max() < 0.5 * np.abs(np.diff(shown()[20])).max()


def test_a_device_drifts_from_image_to_image() -> None:
    levels = [show(np.random.default_rng(seed), strips(), PLAIN)[:, :8].mean() for seed in range(20)]
    assert 0.01 < np.std(levels) < 0.1


def test_objects_are_bright_at_one_site_and_dark_at_another() -> None:
    assert {site: np.sign(device.contrast) for site, device in DEVICES.items()} == {
        "site_a": 1,
        "site_b": -1,
        "site_c": -1,
        "site_d": 1,
    }
    assert abs(DEVICES["site_c"].contrast) < 0.5 * min(abs(DEVICES[site].contrast) for site in ("site_a", "site_b"))


def test_the_unseen_device_has_one_s_contrast_another_s_blur_and_its_own_curve() -> None:
    first, third, unseen = DEVICES["site_a"], DEVICES["site_c"], DEVICES["site_d"]
    assert (unseen.background, unseen.contrast) == (first.background, first.contrast)
    assert (unseen.blur, unseen.grain) == (third.blur, third.grain)
    assert unseen.gamma < min(DEVICES[site].gamma for site in MANNERS)


def test_a_site_of_another_name_has_a_device_near_one_of_three() -> None:
    drawn = {name: draw_device(0, name) for name in ("north", "south", "east", "west", "centre", "coast")}
    assert drawn["north"] == draw_device(0, "north") != draw_device(1, "north")
    assert len(set(drawn.values())) == len(drawn)
    for device in drawn.values():
        like = min((DEVICES[site] for site in MANNERS), key=lambda one: abs(one.contrast - device.contrast))
        assert abs(device.background - like.background) <= 0.04
        assert (device.speckle, device.texture) == (like.speckle, like.texture)
    assert {np.sign(device.contrast) for device in drawn.values()} == {-1, 1}
