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
from dsfedmed.federated.wire import tasks as module
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.task import Sends, Task
from dsfedmed.federated.wire.tasks import TASKS, task_named


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


def test_facts_alone_are_never_given_from_memory() -> None:
    """They report on what the site has now."""
    assert {name for name, task in TASKS.items() if not task.cached} == {"dsf_facts"}


def test_what_leaves_with_each_task_is_known() -> None:
    assert {name: task.sends for name, task in TASKS.items()} == {
        "dsf_facts": "facts", "dsf_base": "update", "dsf_branch": "branch", "dsf_masks": "masks",
        "dsf_audit": "verdict", "dsf_soft_labels": "facts", "dsf_train": "update", "dsf_local": "network",
        "dsf_personal": "update", "dsf_label": "facts", "dsf_agree": "update", "dsf_fuse": "answers",
        "dsf_evaluate": "facts",
    }  # fmt: skip
    assert {task.sends for task in TASKS.values()} == set(typing.get_args(Sends))
    packed = {name for name, task in TASKS.items() if task.carries_update}
    assert packed == {"dsf_train", "dsf_personal", "dsf_agree"}
    assert all(TASKS[name].sends == "update" for name in packed)


@pytest.mark.parametrize("name", ["", "dsf_shell", "DSF_FACTS", "train", "os.system", "x" * 10_000])
def test_an_unknown_task_is_refused(name: str) -> None:
    with pytest.raises(PayloadError, match="server: asked for the unknown task") as caught:
        task_named(name)
    assert len(str(caught.value)) < 200
