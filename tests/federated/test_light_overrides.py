# SPDX-License-Identifier: Apache-2.0
"""Values laid over the light bundle: for any bundle, or for the one that a key names."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.errors import ConfigError
from tests.federated.tiny import tiny_plan, tiny_settings

NAMED = {"light_unet_segmentation/learning_rate": 0.003}


def _rate(**changes: object) -> float:
    plan = tiny_plan(tiny_settings(**changes))
    return float(plan.light_bundle.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"])


def test_a_key_with_a_bundle_s_name_holds_for_that_bundle_alone() -> None:
    assert _rate(light_overrides=NAMED) == 0.003
    other = {"bundle": "light_flexible_unet_segmentation"}
    assert _rate(light=other, light_overrides=NAMED) == _rate(light=other) != 0.003


def test_a_plain_key_goes_before_it() -> None:
    assert _rate(light_overrides={"learning_rate": 0.5, **NAMED}) == 0.5
    assert _rate(light_overrides={**NAMED, "learning_rate": 0.5}) == 0.5


def test_a_key_may_reach_into_a_definition() -> None:
    plan = tiny_plan(tiny_settings(light_overrides={"light_unet_segmentation/network_def::channels": [4, 8, 8, 8]}))
    assert plan.light_bundle.overrides["network_def::channels"] == [4, 8, 8, 8]


def test_a_name_of_no_bundle_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"light_overrides\.light_unet/learning_rate: names no light bundle"):
        tiny_plan(tiny_settings(light_overrides={"light_unet/learning_rate": 0.003}))
