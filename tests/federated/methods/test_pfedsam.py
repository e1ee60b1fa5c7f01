# SPDX-License-Identifier: Apache-2.0
"""A workflow's own options are held against the settings before anything is sent."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods.pfedsam import PFedSam
from tests.federated.tiny import tiny_settings


def test_a_personal_branch_must_have_a_round_left() -> None:
    PFedSam(tiny_settings(rounds=2, method={"warmup_rounds": 1}).to_dict())
    with pytest.raises(ConfigError, match="2 of 2 rounds"):
        PFedSam(tiny_settings(rounds=2, method={"warmup_rounds": 2}).to_dict())
