# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed's options: into the agreement rule, and wrong ones refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dsfedmed.algorithms.agreement import AgreementConfig
from dsfedmed.errors import ConfigError
from dsfedmed.training.semi_supervised.config import SamFedConfig


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"rule": "majority"}, "majority"),
        ({"public_epochs": 0}, "public_epochs"),
        ({"rate_factor": 0}, "rate_factor"),
        ({"public_order": "last"}, "last"),
        ({"fusion_epochs": 0}, "fusion_epochs"),
        ({"site_bundles": ["a"]}, "site_bundles"),
        ({"site_bundles": {"a": "../b"}}, r"site_bundles\.a: .\.\./b. is not a plain name"),
        ({"soft_wieght": 1}, "soft_weight"),
    ],
)
def test_bad_options_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SamFedConfig.from_dict(values)


def test_the_passes_over_the_public_set_by_hand() -> None:
    first = SamFedConfig(public_order="first", fusion_epochs=4)
    assert [first.public_passes(3, own) for own in (False, True)] == [3, 4]
    assert SamFedConfig(fusion_epochs=4).public_passes(3, True) == 0


def test_options_go_into_the_rule() -> None:
    config = SamFedConfig.from_dict({"rule": "agreement_only", "threshold": 0.7, "site_bundles": {"a": "b"}})
    assert config.agreement == replace(AgreementConfig(), rule="agreement_only", threshold=0.7)
    assert config.site_bundles == {"a": "b"}
