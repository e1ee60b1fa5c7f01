# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives, the codec gives the declared type or refuses it with the sender named; it raises nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.codec import from_json, to_json
from dsfedmed.federated.wire.message import (
    BODY,
    ERROR,
    HEADER,
    Envelope,
    Message,
    ReplyHeader,
    SiteError,
    open_reply,
    open_request,
    reply_message,
    request_message,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TASKS
from tests.federated.security.mutation import hostile_value, mutated, nested
from tests.federated.security.strategies import bodies, valid

T = TypeVar("T")
KINDS = [*bodies(), ReplyHeader, SiteError]
NAMED = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
SENDER = "hospital_x"
SEEDS = st.integers(0, 2**32 - 1)
TRIES = 30
"""Messages that are made of each drawn one."""


def refused(kind: type, content: Any) -> bool:
    """Tell whether content is refused, with its sender named; otherwise it must have become the declared type."""
    found, refusal = outcome(lambda: from_json(kind, content, SENDER))
    if refusal is None:
        assert type(found) is kind
        json.dumps(to_json(found), allow_nan=False, ensure_ascii=False).encode()
    return refusal is not None


def outcome(opened: Callable[[], T]) -> tuple[T | None, PayloadError | None]:
    """Return what was opened, or why it was refused; any other error is the test's failure."""
    try:
        return opened(), None
    except PayloadError as error:
        refusal = error
    assert refusal.where == SENDER
    assert len(refusal.reason) < 5000
    return None, refusal


@NAMED
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_what_is_valid_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    value = data.draw(valid(kind))
    over_the_wire = json.loads(json.dumps(to_json(value), allow_nan=False))
    assert from_json(kind, over_the_wire, SENDER) == value


@NAMED
@settings(deadline=None, max_examples=8)
@given(data=st.data(), seed=SEEDS)
def test_what_is_ruined_in_places_is_the_type_or_refused(kind: type, data: st.DataObject, seed: int) -> None:
    draw, content = Random(seed), to_json(data.draw(valid(kind)))
    for _ in range(TRIES):
        refused(kind, mutated(content, draw))


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS)
def test_anything_at_all_is_the_type_or_refused(seed: int) -> None:
    content = hostile_value(Random(seed))
    for kind in KINDS:
        refused(kind, content)


@NAMED
@pytest.mark.parametrize("depth", [50, 20_000])
def test_no_nesting_is_too_deep_to_be_refused(kind: type, depth: int) -> None:
    assert refused(kind, nested(depth))
    assert refused(kind, {"facts": nested(depth), "common": nested(depth), 1: 2, (1, 2): 3})


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
@settings(deadline=None, max_examples=5)
@given(data=st.data(), seed=SEEDS)
def test_a_whole_message_is_opened_or_refused(task: Any, data: st.DataObject, seed: int) -> None:
    """Its keys, header and error too."""
    request = request_message(Envelope(data.draw(valid(task.request))))
    reply = reply_message(Envelope(data.draw(valid(task.reply)), header=data.draw(valid(ReplyHeader))))
    error = {ERROR: to_json(data.draw(valid(SiteError)))}
    assert open_reply(task, reply, SENDER).header == from_json(ReplyHeader, reply.info[HEADER], SENDER)
    draw = Random(seed)
    for good, opened in TRIES * ((request.info, open_request), (reply.info, open_reply), (error, open_reply)):
        ruined = mutated(good, draw)
        info = ruined if isinstance(ruined, dict) else {BODY: ruined, HEADER: ruined}
        found, _ = outcome(partial(opened, task, Message(info), SENDER))
        assert found is None or isinstance(found.body, (task.request, task.reply))


def test_a_number_that_python_will_not_write_is_refused() -> None:
    assert refused(TrainReply, {"round": 10**5000})
    assert refused(TrainReply, {"round": "1" * 10**6})
