# SPDX-License-Identifier: Apache-2.0
"""The entries of the tasks: everything they name is there."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from dsfedmed.errors import PayloadError
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.wire.codec import from_json, to_object
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.task import Task, load_function
from dsfedmed.federated.wire.tasks import EVALUATE, TASKS, task_named
from tests.federated.tiny import tiny_plan, tiny_settings

PARAMETERS = {"own_network": ["site", "body"], "own_release": ["site", "body", "network", "cases"]}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_what_an_entry_names_is_there_and_takes_what_it_is_given(task: Task[Any, Any]) -> None:
    assert list(inspect.signature(task.load()).parameters)[:1] == ["site"]
    for field, parameters in PARAMETERS.items():
        if path := getattr(task, field):
            assert list(inspect.signature(load_function(path)).parameters)[: len(parameters)] == parameters
    assert task.own_network or not task.own_release, "nothing to release"


def test_an_entry_is_found_by_its_name_alone() -> None:
    assert task_named("dsf_evaluate") is EVALUATE
    assert EVALUATE.load() is evaluate
    with pytest.raises(PayloadError, match="unknown task 'dsf_delete'"):
        task_named("dsf_delete")


def test_a_site_can_be_asked_for_its_own_network_of_a_scored_name_only() -> None:
    plan = tiny_plan(tiny_settings())
    request = EvaluateRequest(plan.common, plan.teacher_spec, None, {"fedbn": "light"}, own={"fedbn": "dsf_train"})
    content = to_object(request)
    assert from_json(EvaluateRequest, content, "server").own == {"fedbn": "dsf_train"}
    with pytest.raises(PayloadError, match="not among networks"):
        from_json(EvaluateRequest, {**content, "own": {"other": "dsf_train"}}, "server")
