# SPDX-License-Identifier: Apache-2.0
"""A workflow's own options are refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.pfedsam import PFedSam
from dsfedmed.federated.samfed import SamFed
from dsfedmed.federated.workflow import FederatedWorkflow
from tests.federated.tiny import tiny_settings


def check(workflow: type[FederatedWorkflow], **method: Any) -> None:
    made = workflow.__new__(workflow)
    made.settings = tiny_settings(rounds=2, method=method)
    made.check_options()


def test_a_personal_branch_must_have_a_round_left() -> None:
    check(PFedSam, warmup_rounds=1)
    with pytest.raises(ConfigError, match="2 of 2 rounds"):
        check(PFedSam, warmup_rounds=2)


@pytest.mark.parametrize("workflow", [PFedSam, SamFed])
def test_an_unknown_option_is_named(workflow: type[FederatedWorkflow]) -> None:
    with pytest.raises(ConfigError, match="temprature"):
        check(workflow, temprature=2.0)
