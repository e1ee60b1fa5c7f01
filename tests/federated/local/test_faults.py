# SPDX-License-Identifier: Apache-2.0
"""Sites that fail in every way in one run: the run completes, says who and why, and takes them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.federated.local.site import LocalSite, Worker
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.files import read_json
from tests.runs.commands import BUNDLES
from tests.runs.local import simulated, without_pictures
from tests.runs.smoke import ALONE, smoke
from tests.runs.stored import stage_tensors

Fault = Callable[[Message], Message]


def largest(change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    """Change the largest tensor of a reply."""

    def fault(reply: Message) -> Message:
        name = max(reply.tensors, key=lambda key: reply.tensors[key].numel())
        return replace(reply, tensors={**reply.tensors, name: change(reply.tensors[name])})

    return fault


def says(**changes: Any) -> Fault:
    """Change what a reply says."""

    def fault(reply: Message) -> Message:
        body = reply.info["body"]
        assert isinstance(body, dict)
        return replace(reply, info={**reply.info, "body": {**body, **changes}})

    return fault


def raises(reply: Message) -> Message:
    raise RuntimeError("made to fail")


FAULTS: dict[str, tuple[Fault, str]] = {
    "nan": (largest(lambda tensor: tensor * float("nan")), "NaN or infinite"),
    "shape": (largest(lambda tensor: tensor.reshape(-1)[:1]), "shape"),
    "raises": (raises, "RuntimeError"),
    "no message of ours": (lambda reply: Message({"weights": "all of them"}), "sent TrainReply, which is None"),
    "unknown key": (says(images=["a.png"]), "unknown key 'images'"),
    "type": (says(loss="low"), "no float"),
    "infinite": (says(loss=float("inf")), "is not between"),
    "dice": (says(validation=1.5), "is not between"),
    "another round": (says(round=40), "answered round 40 instead of 9"),
    "steps": (says(steps=10**8), "gradient steps of at most"),
    "no validation": (says(validation=None), "sent no validation"),
    "whole weights": (lambda reply: replace(reply, is_difference=False), "whole weights instead of a difference"),
}
"""What a site does, and a word of the reason in the record."""
SOURCES = ("site_a", "site_b", "site_c")
PLAN = {number: (SOURCES[number % 3], name) for number, name in enumerate(FAULTS, 1)}
"""By round, who fails and how; never two of three in one round, and everybody several times."""
ROUNDS = len(FAULTS) + 1


class HostileSite(LocalSite):
    """Does what `PLAN` says in the rounds of dsfedmed; else as it should."""

    def answer(self, task: str, request: Message, on_progress: ProgressCallback) -> tuple[Message, int]:
        reply, fetched = super().answer(task, request, on_progress)
        body: Any = request.info["body"]
        if task != "dsf_train" or body["round"]["training"] != "dsfedmed" or not body["round"]["epochs"]:
            return reply, fetched
        site, name = PLAN.get(body["round"]["round"], ("", ""))
        return (FAULTS[name][0](reply) if site == self.name else reply), fetched


@pytest.fixture(scope="module")
def run(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run in which every site fails several times."""
    folder = tmp_path_factory.mktemp("faults") / "run"
    settings = smoke(rounds=ROUNDS, schedule={"warmup_rounds": 2, "interval_rounds": 6}, compare=ALONE)
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        assert simulated("dsfedmed", settings, SimulatedSites(sites, folder, BUNDLES), HostileSite) == "complete"
    return folder


@pytest.fixture(scope="module")
def record(run: Path) -> dict[str, Any]:
    return dict(read_json(run / "record.json"))


def events(record: dict[str, Any], number: int) -> list[tuple[str, str, str]]:
    return [(e["kind"], e["site"], e["message"]) for e in record["events"] if e["round"] == number]


def test_the_weights_stay_finite(run: Path) -> None:
    weights = stage_tensors(run, "training-dsfedmed")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


@pytest.mark.parametrize("number", PLAN)
def test_each_fault_is_recorded_with_its_site_and_reason(record: dict[str, Any], number: int) -> None:
    site, name = PLAN[number]
    found = [message for kind, who, message in events(record, number) if (kind, who) == ("refused", site)]
    assert len(found) == 1
    assert FAULTS[name][1] in found[0]


@pytest.mark.parametrize("number", PLAN)
def test_each_site_is_taken_back(record: dict[str, Any], number: int) -> None:
    """It is back with the next thing it is asked: the soft labels after the round it missed, or the next round."""
    found = events(record, number) + events(record, number + 1)
    assert ("returned", PLAN[number][0]) in [(kind, who) for kind, who, _ in found]


def test_a_round_averages_those_that_answered(record: dict[str, Any]) -> None:
    losses = {entry["round"]: set(entry["loss"]) for entry in record["curves"]["dsfedmed"]}
    for number in range(1, ROUNDS + 1):
        assert losses[number] == set(SOURCES) - {PLAN.get(number, ("", ""))[0]}


def test_a_site_that_raises_anything_is_a_failed_task_without_file_names(sites: Path, tmp_path: Path) -> None:
    class Broken(LocalSite):
        """Cannot read its disk, but for one of them."""

        def __init__(self, name: str, folder: Path, worker: Worker) -> None:
            super().__init__(name, folder, worker)
            if name != "site_c":
                self.worker = Unreadable()

    class Unreadable:
        def run(self, *_: Any) -> Message:
            raise OSError("made to fail: /data/patient_7.png")

        def stop(self) -> None:
            """Nothing runs."""

    layout = SimulatedSites(sites, tmp_path / "run", BUNDLES)
    verdict = simulated("dsfedmed", smoke(), layout, Broken)
    assert verdict.startswith("incomplete: dsf_facts: 1 of 2 needed sites answered")
    assert "site_a: dsf_facts failed with OSError" in verdict
    assert "patient_7" not in verdict
