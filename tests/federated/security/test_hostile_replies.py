# SPDX-License-Identifier: Apache-2.0
"""One site's replies, each ruined in many ways while a real run waits for them: each is refused, and the run ends well.

Nothing here trains longer than the smallest federation does: at every task the hostile site's reply is handed to the
server again and again, each time otherwise ruined, and at last as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from dsfedmed.federated.local.transport import Answer, LocalTransport
from dsfedmed.federated.server.progress import Progress
from dsfedmed.federated.server.workflow import LOGGER
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.tasks import (
    AGREE,
    AUDIT,
    BASE,
    BRANCH,
    CONTRAST,
    CONTROLLED,
    DITTO,
    EVALUATE,
    EXCHANGED,
    FACTS,
    FINE_TUNE,
    FUSE,
    KEEP_AMPLITUDES,
    LABEL,
    LOCAL,
    LOCAL_HEAD,
    LOCAL_LAYERS,
    LOCAL_STATISTICS,
    MASKS,
    PERSONAL,
    PUBLIC,
    RANDOMISED,
    SEND_AMPLITUDES,
    SOFT_LABELS,
    STATISTICS,
    TASKS,
    TRAIN,
    UNLABELLED,
)
from dsfedmed.federated.wire.transport import OnArrival
from tests.federated.security.federation import GUARDED_BY_OTHERS, HOSTILE, OF_METHOD, federate
from tests.federated.security.mutation import RUINED, mutated_message
from tests.runs.local import without_pictures

NAN, INFINITE = float("nan"), float("inf")
Change = Callable[[Message], Message]
TRIES = 12
"""Randomly ruined replies of each task."""


def said(**values: Any) -> Change:
    """Say other things in the body; `...` leaves a key out."""

    def change(message: Message) -> Message:
        body: Any = message.info["body"]
        kept = {key: value for key, value in {**body, **values}.items() if value is not ...}
        return replace(message, info={**message.info, "body": kept})

    return change


def fact(**values: Any) -> Change:
    """Say other things in the facts."""
    return lambda message: said(facts={**message.info["body"]["facts"], **values})(message)  # type: ignore


def headed(**values: Any) -> Change:
    """Say other things in the header."""
    return lambda message: replace(message, info={**message.info, "header": {**message.info["header"], **values}})  # type: ignore


def sent(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Change:
    """Send other tensors."""
    return lambda message: replace(message, tensors=change(dict(message.tensors)))


def first(name: str) -> Change:
    """Ruin the largest tensor."""

    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        largest = max(tensors, key=lambda key: tensors[key].numel())
        return {**tensors, largest: RUINED[name](tensors[largest])}

    return sent(change)


def pixel(tensors: dict[str, Tensor]) -> Tensor:
    """Return the first pixel of every answer."""
    return tensors["levels"][..., :1, :1]


def cases(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change every case's scores."""

    def changed(message: Message) -> Message:
        body: Any = message.info["body"]
        return said(cases={name: [change(case) for case in found] for name, found in body["cases"].items()})(message)

    return changed


def times(count: int) -> Change:
    """Send so many cases of each network."""
    return lambda message: said(
        cases={name: found[:1] * count for name, found in message.info["body"]["cases"].items()}  # type: ignore
    )(message)


TENSORS = {name: first(name) for name in RUINED if name not in ("bool", "int8", "int64", "bfloat16", "float64")}
"""Of weights; other number types are in `OF_TYPE`, for what is checked by name and type."""
OF_TYPE = {name: first(name) for name in ("bool", "int8", "int64", "float64", "complex")}
NAMES = {
    "no tensor": sent(lambda tensors: {}),
    "one tensor less": sent(lambda tensors: dict(list(tensors.items())[1:])),
    "one tensor more": sent(lambda tensors: {**tensors, "../evil": torch.zeros(1)}),
}
WEIGHTS = {**TENSORS, **OF_TYPE, **NAMES}
ROUND = {
    "another round": said(round=99),
    "validation 1e6": said(validation=1e6),
    "validation NaN": said(validation=NAN),
    "validation true": said(validation=True),
    "loss NaN": said(loss=NAN),
    "loss text": said(loss="x"),
    "steps 1e12": said(steps=10**12),
    "steps more than images allow": said(steps=10_000),
    "steps below 0": said(steps=-1),
    "no steps": said(steps=...),
    "whole weights": lambda message: replace(message, is_difference=False),
    "another layout": headed(update={"training": "dsfedmed", "round": 1, "precision": "fp16", "layout": "0" * 64}),
    "another format": headed(update={"training": "dsfedmed", "round": 1, "precision": "fp8", "layout": ""}),
    "a path for a name": headed(update={"training": "../x", "round": 1, "precision": "fp16", "layout": ""}),
}
VALIDATION = {name: ROUND[name] for name in ("another round", "validation 1e6", "validation NaN", "validation true")}
"""Of a round that only validates."""
AS_TRAIN = (
    *(LOCAL_LAYERS.name, CONTROLLED.name, CONTRAST.name, DITTO.name, LOCAL_HEAD.name, LOCAL_STATISTICS.name),
    *(RANDOMISED.name, EXCHANGED.name, UNLABELLED.name),
)
"""Tasks whose reply has the form of `TRAIN`'s."""
TRAINED = (TRAIN.name, PERSONAL.name, *AS_TRAIN, AGREE.name)
EVERYWHERE = {
    "nothing": lambda message: Message({}),
    "no header": lambda message: replace(message, info={"body": message.info["body"]}),
    "more than body and header": lambda message: replace(message, info={**message.info, "weight": 10**9}),
    "no body": lambda message: replace(message, info={**message.info, "body": None}),
    "an unknown key": said(weight=10**9),
    "an error that is none": lambda message: Message({"error": {"where": "x", "reason": 7, "fix": None}}),
    "an error and a reply": lambda message: replace(message, info={**message.info, "error": {}}),
    "an error of half a character": lambda message: Message(
        {"error": {"where": "\ud800", "reason": "\ud800", "fix": ""}}
    ),
    "seconds NaN": headed(seconds=NAN),
    "scalars for another's file": headed(scalars={"../../x": 1.0}),
    "another noise than there is": headed(privacy={"mechanism": "none"}),
}
ATTACKS: dict[str, dict[str, Change]] = {
    FACTS.name: {
        "10^9 images": fact(counts={"training": 10**9, "validation": 8, "test": 2}),
        "half an image": fact(counts={"training": 2.5, "validation": 8, "test": 2}),
        "no such channels": fact(channels=17),
        "no classes": fact(num_classes=0, label_names=[]),
        "a name of 10,000 letters": fact(label_names=["x" * 10_000]),
    },
    BASE.name: {**WEIGHTS, "another round": said(round=2), "loss NaN": said(loss=NAN)},
    BRANCH.name: {
        **{name: change for name, change in WEIGHTS.items() if name != "too large for the wire"},
        "loss infinite": said(loss=INFINITE),
    },
    MASKS.name: {
        **OF_TYPE, **NAMES,
        "2^40 masks": sent(lambda tensors: {**tensors, "shape": torch.tensor([2**40, 32, 32])}),
        "masks of another size": sent(lambda tensors: {**tensors, "shape": torch.tensor([2, 16, 64])}),
        "labels that are none": sent(lambda tensors: {**tensors, "planes": tensors["planes"].repeat(3, 1)}),
        "another kind": said(kind="real"),
    },
    AUDIT.name: {
        **NAMES,
        "threshold NaN": said(threshold=NAN),
        "threshold text": said(threshold="x"),
        "distances NaN": sent(lambda tensors: {**tensors, "distances": tensors["distances"] * NAN}),
        "distances of any size": sent(lambda tensors: {**tensors, "distances": tensors["distances"] * 1e30}),
        "distances in float64": sent(lambda tensors: {**tensors, "distances": tensors["distances"].double()}),
        "a veto in two axes": sent(lambda tensors: {**tensors, "vetoed": torch.zeros(2, 2, dtype=torch.int64)}),
        "a veto of no image": sent(lambda tensors: {**tensors, "vetoed": torch.tensor([99])}),
        "a veto of image -1": sent(lambda tensors: {**tensors, "vetoed": torch.tensor([-1])}),
        "half a veto": sent(lambda tensors: {**tensors, "vetoed": torch.tensor([0.5])}),
        "a million vetoes": sent(lambda tensors: {**tensors, "vetoed": torch.zeros(10**6, dtype=torch.int64)}),
    },
    SOFT_LABELS.name: {"a hash that is none": said(kept="../x"), "no hash": said(kept=...)},
    TRAIN.name: {**WEIGHTS, **ROUND},
    PERSONAL.name: {**WEIGHTS, **ROUND},
    **{name: {**WEIGHTS, **ROUND} for name in AS_TRAIN},
    STATISTICS.name: {
        "a mean of 7": said(statistics=[{"mean": 7.0, "deviation": 0.1}]),
        "a mean that is none": said(statistics=[{"mean": NAN, "deviation": 0.1}]),
        "no spread": said(statistics=[{"mean": 0.5, "deviation": 0.0}]),
        "no channel": said(statistics=[]),
        "two channels": said(statistics=[{"mean": 0.5, "deviation": 0.1}] * 2),
        "a thousand channels": said(statistics=[{"mean": 0.5, "deviation": 0.1}] * 1000),
    },
    SEND_AMPLITUDES.name: {
        **OF_TYPE, **NAMES,
        "of no image": said(images=0),
        "of other images": said(images=3),
        "of a million images": said(images=10**6),
        "above 1": sent(lambda tensors: {"amplitudes": tensors["amplitudes"] * 0 + 1.01}),
        "below 0": sent(lambda tensors: {"amplitudes": tensors["amplitudes"] - 1}),
        "NaN": sent(lambda tensors: {"amplitudes": tensors["amplitudes"] * NAN}),
        "whole images": sent(lambda tensors: {"amplitudes": torch.rand(4, 1, 32, 32)}),
    },
    KEEP_AMPLITUDES.name: {"a hash that is none": said(kept="../x"), "another hash": said(kept="0" * 64)},
    AGREE.name: {**WEIGHTS, **ROUND, "agreement 7": said(agreement=7.0), "agreement NaN": said(agreement=NAN)},
    FINE_TUNE.name: {
        "validation 1e6": said(validation=1e6),
        "validation NaN": said(validation=NAN),
        "a later epoch": said(epoch=10**6),
        "one epoch more": said(epoch=6),
        "steps 1e12": said(steps=10**12),
        "more steps than images allow": said(steps=10_000),
        "no steps": said(steps=...),
    },
    LOCAL.name: {
        **WEIGHTS,
        "validation 1e6": said(validation=1e6),
        "a later epoch": said(epoch=10**6),
        "steps 1e12": said(steps=10**12),
    },
    PUBLIC.name: {"another public set": said(public=10**6), "half an image": said(public=0.5)},
    LABEL.name: {
        "confidence 7": said(confidence=7.0),
        "confidence NaN": said(confidence=NAN),
        "another public set": said(public=10**6),
    },
    FUSE.name: {
        **OF_TYPE, **NAMES,
        "answers of one pixel": sent(lambda tensors: {"levels": pixel(tensors)}),
        "answers of 10^9 pixels": sent(lambda tensors: {"levels": pixel(tensors).expand(-1, -1, 31623, 31623)}),
        "fewer answers": sent(lambda tensors: {"levels": tensors["levels"][1:]}),
        "steps 1e12": said(steps=10**12),
        "another round": said(round=99),
    },
    EVALUATE.name: {
        "Dice 7": cases(lambda case: {**case, "dice": [7.0]}),
        "Dice NaN": cases(lambda case: {**case, "dice": [NAN]}),
        "Dice text": cases(lambda case: {**case, "dice": "x"}),
        "two classes": cases(lambda case: {key: value * 2 for key, value in case.items() if isinstance(value, list)}),
        "no class": cases(lambda case: {"dice": [], "iou": [], "hd95": []}),
        "distance below 0": cases(lambda case: {**case, "hd95": [-1.0]}),
        "a patient's name": cases(lambda case: {**case, "case": "<script>alert(1)</script>"}),
        "no case": cases(lambda case: "junk"),
        "a case too few": times(1),
        "a thousand cases": times(1000),
        "more than a million cases": times(1_000_001),
        "other networks": said(cases={"evil": []}),
        "a path for a network": said(cases={"../x": []}),
        "figures that nobody asked for": said(legacy={"evil": {"dice": 1.0, "iou": 1.0}}),
        "a network that nobody sent": said(site_specific=["evil"]),
    },
}  # fmt: skip
"""By task, replies that no honest site can give. Every one of them must be refused."""


class FuzzingTransport(LocalTransport):
    """Hands over the hostile site's reply in every ruined form, and then as it was."""

    seed = 0
    accepted: ClassVar[list[tuple[str, str]]] = []
    """Replies that were not refused, by task and name; those ruined at random have no name."""
    delivered: ClassVar[dict[str, int]] = {}
    noted: ClassVar[list[str]] = []
    """Sites whose reply was taken."""

    def send(self, task: str, request: Message, sites: Any, receive: OnArrival, waiting: Any) -> None:
        self._task, self._draw = task, Random(self.seed)
        super().send(task, request, sites, receive, waiting)

    def _hand_over(self, site: str, answer: Answer, receive: OnArrival) -> None:
        if site == HOSTILE and "error" not in answer[0].info:
            own = VALIDATION if self._task in TRAINED and not answer[0].tensors else ATTACKS[self._task]
            for name, change in {**EVERYWHERE, **own}.items():
                self._deliver(name, change(answer[0]), receive)
            for _ in range(TRIES):
                self._deliver("", mutated_message(answer[0], self._draw), receive)
        super()._hand_over(site, answer, receive)

    def _deliver(self, name: str, reply: Message, receive: OnArrival) -> None:
        self.noted.clear()
        receive(HOSTILE, lambda: reply)
        self.delivered[self._task] = self.delivered.get(self._task, 0) + 1
        if self.noted:
            self.accepted.append((self._task, name))


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> type[FuzzingTransport]:
    """A transport that knows which replies the server took."""
    without_pictures(monkeypatch)
    original = Progress.site

    def site(self: Progress, name: str, state: str) -> None:
        FuzzingTransport.noted.append(name)
        original(self, name, state)

    monkeypatch.setattr(Progress, "site", site)
    FuzzingTransport.accepted, FuzzingTransport.delivered = [], {}
    return FuzzingTransport


BY_COST = [pytest.param(case, marks=pytest.mark.slow if case in GUARDED_BY_OTHERS else ()) for case in OF_METHOD]


@pytest.mark.parametrize("case", BY_COST)
def test_every_ruined_reply_is_refused_and_the_run_is_complete(
    case: str,
    small_sites: Path,
    tmp_path: Path,
    transport: type[FuzzingTransport],
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport.seed = sorted(OF_METHOD).index(case)
    outcome = federate(case, tmp_path, small_sites, transport=transport)
    assert [entry for entry in transport.accepted if entry[1]] == []
    assert outcome.verdict == "complete"
    unforeseen = [record.getMessage() for record in caplog.records if record.name == LOGGER.name]
    assert unforeseen == [], "refused by an error that a library raised, not by a check"
    assert set(transport.delivered) <= set(TASKS)
    assert min(transport.delivered.values()) > len(EVERYWHERE) + TRIES
