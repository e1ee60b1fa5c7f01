# SPDX-License-Identifier: Apache-2.0
"""Every task of the sites has one entry, and its function takes what the entry says."""

from __future__ import annotations

import inspect
import typing
from dataclasses import is_dataclass
from typing import Any

import pytest

from dsfedmed.errors import PayloadError
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.wire import tasks as module
from dsfedmed.federated.wire.codec import from_json, to_object
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.task import Sends, Task, load_function
from dsfedmed.federated.wire.tasks import EVALUATE, TASKS, task_named
from tests.federated.tiny import tiny_plan, tiny_settings


@pytest.mark.parametrize("task", list(TASKS.values()), ids=list(TASKS))
def test_the_function_takes_the_tasks_request_and_gives_its_reply(task: Task[Any, Any]) -> None:
    assert task.name.startswith("dsf_")
    assert is_dataclass(task.request)
    assert is_dataclass(task.reply)
    function = task.load()
    assert function.__name__ == task.function.partition(":")[2]
    hints = typing.get_type_hints(function)
    site, request = (hints[name] for name in list(inspect.signature(function).parameters))
    assert site is SiteContext
    assert request == Envelope[task.request]  # type: ignore[name-defined]
    assert hints["return"] == Envelope[task.reply]  # type: ignore[name-defined]


def test_every_task_of_the_module_is_in_the_list_under_its_name() -> None:
    entries = {value.name: value for value in vars(module).values() if isinstance(value, Task)}
    assert entries == TASKS
    assert [task_named(name) for name in TASKS] == list(TASKS.values())


def test_what_is_never_answered_from_memory() -> None:
    """Facts report on what the site has now; soft labels replace those that it holds, whichever came last."""
    assert {name for name, task in TASKS.items() if not task.cached} == {"dsf_facts", "dsf_soft_labels"}


def test_what_leaves_with_each_task_is_known() -> None:
    assert {name: task.sends for name, task in TASKS.items()} == {
        "dsf_facts": "facts", "dsf_base": "update", "dsf_branch": "branch", "dsf_masks": "masks",
        "dsf_audit": "verdict", "dsf_soft_labels": "facts", "dsf_train": "update", "dsf_local": "network",
        "dsf_personal": "update", "dsf_label": "facts", "dsf_agree": "update", "dsf_fuse": "answers",
        "dsf_local_layers": "update", "dsf_controlled": "update", "dsf_contrast": "update", "dsf_ditto": "update",
        "dsf_statistics": "statistics", "dsf_randomised": "update", "dsf_amplitudes": "amplitudes",
        "dsf_keep_amplitudes": "facts", "dsf_exchanged": "update",
        "dsf_fine_tune": "facts", "dsf_local_head": "update", "dsf_local_statistics": "update",
        "dsf_public": "facts", "dsf_unlabelled": "update", "dsf_evaluate": "facts",
    }  # fmt: skip
    assert {task.sends for task in TASKS.values()} == set(typing.get_args(Sends))
    packed = {name for name, task in TASKS.items() if task.carries_update}
    assert packed == {
        "dsf_train", "dsf_personal", "dsf_agree", "dsf_local_layers", "dsf_controlled", "dsf_contrast", "dsf_ditto",
        "dsf_randomised", "dsf_exchanged",
        "dsf_local_head", "dsf_local_statistics",
        "dsf_unlabelled",
    }  # fmt: skip
    assert all(TASKS[name].sends == "update" for name in packed)


@pytest.mark.parametrize("name", ["", "dsf_shell", "DSF_FACTS", "train", "os.system", "x" * 10_000])
def test_an_unknown_task_is_refused(name: str) -> None:
    with pytest.raises(PayloadError, match="server: asked for the unknown task") as caught:
        task_named(name)
    assert len(str(caught.value)) < 200


PARAMETERS = {
    "own_network": ["site", "body"],
    "own_release": ["site", "body", "network", "cases"],
    "adapts": ["site", "body", "network"],
}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_what_an_entry_names_is_there_and_takes_what_it_is_given(task: Task[Any, Any]) -> None:
    assert list(inspect.signature(task.load()).parameters)[:1] == ["site"]
    for field, parameters in PARAMETERS.items():
        if path := getattr(task, field):
            assert list(inspect.signature(load_function(path)).parameters)[: len(parameters)] == parameters
    assert task.own_network or not (task.own_release or task.adapts), "nothing to release or to do without"


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
