# SPDX-License-Identifier: Apache-2.0
"""What a hospital may write under `branch_privacy`."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.branch_privacy import BranchRule, read_branch_rule


def test_epsilon_is_all_that_must_be_there() -> None:
    assert read_branch_rule(None, "f") is None
    assert read_branch_rule({"epsilon": 3}, "f") == BranchRule(3)
    assert read_branch_rule({"epsilon": "1e1", "delta": "1e-5"}, "f") == BranchRule(10.0, 1e-5)


@pytest.mark.parametrize("value", [{"epsilon": 3, "sigma": 1}, {"epsilon": "much"}, {"epsilon": True}, [3]])
def test_what_is_no_rule_is_refused_with_the_file(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read_branch_rule(value, "dsfedmed.yaml")
    assert caught.value.where.startswith("dsfedmed.yaml")
    assert caught.value.fix
