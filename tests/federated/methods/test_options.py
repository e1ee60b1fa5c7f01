# SPDX-License-Identifier: Apache-2.0
"""Every method is found by its name, and its own options are held against the settings before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.federated.methods.pfedsam import PFedSam
from dsfedmed.federated.methods.samfed import SamFed
from dsfedmed.federated.server.stages.comparison import compared_stages
from dsfedmed.methods import METHODS
from tests.federated.tiny import tiny_settings

WORKFLOWS = {"dsfedmed": DSFedMed, "pfedsam": PFedSam, "samfed": SamFed}


def test_a_personal_branch_must_have_a_round_left() -> None:
    PFedSam(tiny_settings(rounds=2, method={"warmup_rounds": 1}))
    with pytest.raises(ConfigError, match="2 of 2 rounds"):
        PFedSam(tiny_settings(rounds=2, method={"warmup_rounds": 2}))


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "geometric_median", "norm_clipping"])
def test_low_rank_updates_take_no_rule_on_single_numbers(rule: str) -> None:
    robust = {"rule": rule}
    with pytest.raises(ConfigError, match=r"robust\.rule: low-rank updates are averaged as products"):
        PFedSam(tiny_settings(method={"warmup_rounds": 1}, robust=robust, min_sites=3))
    PFedSam(tiny_settings(method={"mean": "factors", "warmup_rounds": 1}, robust=robust, min_sites=3))
    DSFedMed(tiny_settings(robust=robust, min_sites=3))


@pytest.mark.parametrize("method", sorted(WORKFLOWS))
def test_a_workflow_is_found_by_the_methods_name(method: str) -> None:
    assert set(METHODS).issuperset(WORKFLOWS)
    workflow = workflow_of(method, tiny_settings())
    assert type(workflow) is WORKFLOWS[method]
    assert method == workflow.METHOD


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method: 'fedsgd' is not a choice.*dsfedmed, samfed, pfedsam"):
        workflow_of("fedsgd", tiny_settings())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dsfedmed", {"experts": 2}),
        ("pfedsam", {"rule": "agreement"}),
        ("pfedsam", {"experts": 0}),
        ("samfed", {"experts": 2}),
        ("samfed", {"threshold": 1.5}),
    ],
)
def test_an_option_that_a_method_does_not_have_is_refused(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="method"):
        workflow_of(method, tiny_settings(method=options))


@pytest.mark.parametrize("method", sorted(WORKFLOWS))
def test_the_stages_of_a_run_are_named_once_and_end_with_its_release(method: str) -> None:
    everything = {name: True for name in ("centralised", "fedprox", "fedsam", "fedmsa")}
    settings = tiny_settings(compare=everything)
    stages = WORKFLOWS[method].stages(settings)
    assert stages[0] == "check sites"
    assert stages[-1] == "release"
    assert len(set(stages)) == len(stages)
    assert {"rounds", "evaluate", "evaluate comparison"} <= set(stages)
    wanted = compared_stages(settings.compare)
    assert (set(wanted) <= set(stages)) is (method != "samfed")


def test_without_a_comparison_nothing_is_compared() -> None:
    nothing = {name: False for name in ("local", "fedavg", "equal_steps", "teacher")}
    for workflow in (DSFedMed, PFedSam):
        stages = workflow.stages(tiny_settings(compare=nothing))
        assert not [stage for stage in stages if "compar" in stage]
