# SPDX-License-Identifier: Apache-2.0
"""The runs of one table have the same settings and teacher weights."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.studies.benchmark_settings import require_same_settings
from tests.benchmarks.studies.runs import record


def test_runs_of_one_table_may_differ_in_seed_held_out_site_and_labels() -> None:
    first = record(0, 0.6, 0.5, config={"seed": 0, "rounds": 30, "method": {"label_site": "a"}})
    second = record(1, 0.6, 0.5, config={"seed": 1, "rounds": 30, "method": {"label_site": "b"}})
    other_method = record(2, 0.6, 0.5, method="samfed", config={"rounds": 40})
    require_same_settings([first, second, other_method])


def test_an_option_younger_than_a_run_had_its_default_there() -> None:
    young = {"rounds": 30, "schedule": {"head_start_steps": 0}}
    require_same_settings([record(0, 0.6, 0.5, config={"rounds": 30}), record(1, 0.6, 0.5, config=young)])
    young["schedule"] = {"head_start_steps": 5}
    with pytest.raises(ConfigError, match=r"schedule\.head_start_steps \(5, not 0\)"):
        require_same_settings([record(0, 0.6, 0.5, config={"rounds": 30}), record(1, 0.6, 0.5, config=young)])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": {"rounds": 30, "method": {"rate": 2}}}, r"run-1: differs from run-0 in method\.rate \(2, not 1\)"),
        ({"config": {"rounds": 30}}, r"method\.rate \(None, not 1\)"),
        ({"teacher_weights": {"sha256": "b" * 64}}, r"the teacher weights \(bbbbbbbbbbbb, not aaaaaaaaaaaa\)"),
        ({"teacher_weights": {}, "method": "samfed"}, r"the teacher weights \(none, not aaaaaaaaaaaa\)"),
    ],
)
def test_a_run_of_other_settings_is_named(changes: dict[str, Any], named: str) -> None:
    common = {"config": {"rounds": 30, "method": {"rate": 1}}, "teacher_weights": {"sha256": "a" * 64}}
    with pytest.raises(ConfigError, match=named):
        require_same_settings([record(0, 0.6, 0.5, **common), record(1, 0.6, 0.5, **{**common, **changes})])
