# SPDX-License-Identifier: Apache-2.0
"""Settings of the light bundle: for any bundle, or for the one that a key names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import check_light_settings, make_plan
from dsfedmed.settings import Settings, read_preset
from tests.federated.tiny import BUNDLES, ROOT, tiny_plan, tiny_settings

NAMED = {"light_unet_segmentation/learning_rate": 0.003}


def _rate(**changes: object) -> float:
    plan = tiny_plan(tiny_settings(**changes))
    return float(plan.light_bundle.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"])


def test_a_key_with_a_bundle_s_name_holds_for_that_bundle_alone() -> None:
    assert _rate(light_settings=NAMED) == 0.003
    other = {"bundle": "light_flexible_unet_segmentation"}
    assert _rate(light=other, light_settings=NAMED) == _rate(light=other) != 0.003


def test_a_plain_key_goes_before_it() -> None:
    assert _rate(light_settings={"learning_rate": 0.5, **NAMED}) == 0.5
    assert _rate(light_settings={**NAMED, "learning_rate": 0.5}) == 0.5


def test_a_declared_setting_reaches_into_a_definition() -> None:
    plan = tiny_plan(tiny_settings(light_settings={"light_unet_segmentation/channels": [4, 8, 8, 8]}))
    assert plan.light_spec.settings["channels"] == [4, 8, 8, 8]
    assert plan.light_bundle.document["network_def"]["channels"] == [4, 8, 8, 8]


def test_a_configuration_id_is_refused_with_the_setting_s_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'network_def::channels'.*is called 'channels'"):
        tiny_plan(tiny_settings(light_settings={"network_def::channels": [4, 8, 8, 8]}))


def test_what_is_said_of_another_bundle_is_checked_too() -> None:
    tiny_plan(tiny_settings(light_settings={"light_tinysam_segmentation/encoder_size": 64}))
    with pytest.raises(ConfigError, match=r"light_settings\.light_tinysam_segmentation/channels: unknown setting"):
        tiny_plan(tiny_settings(light_settings={"light_tinysam_segmentation/channels": [4, 8, 8, 8]}))


PRESETS = sorted((ROOT / "jobs").glob("*/presets/*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_what_the_presets_set_is_declared(preset: Path) -> None:
    check_light_settings(Settings.from_dict(read_preset(preset)), BUNDLES)


@pytest.mark.parametrize("bundle", ["/etc", "../bundles/light_unet_segmentation", "Light", "", "a" * 65])
def test_a_bundle_is_a_plain_name(bundle: str) -> None:
    with pytest.raises(ConfigError, match=r"light\.bundle: .* is no bundle's name"):
        tiny_settings(light={"bundle": bundle})


def test_a_label_s_name_is_a_name() -> None:
    facts = FederationFacts(1, 1, ("$__import__('os')",), True)
    with pytest.raises(ConfigError, match=r"'channel_def': the label name"):
        make_plan(tiny_settings(), PartyConfig(bundles=BUNDLES), facts, {"site_a": 4})


def test_a_name_of_no_bundle_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"light_settings\.light_unet/learning_rate: .* is not installed"):
        tiny_plan(tiny_settings(light_settings={"light_unet/learning_rate": 0.003}))
