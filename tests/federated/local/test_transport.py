# SPDX-License-Identifier: Apache-2.0
"""The transport on one machine: who is waited for and how long, and every byte that moves."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.federated.local.transport import LocalTransport
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.federated.wire.transport import Surroundings, Waiting
from tests.federated.tiny import noise_manifest

REQUEST = Message({"body": {}}, {"w": torch.zeros(3), "n": torch.zeros(2, dtype=torch.uint8)})
DOWN = len(json.dumps(REQUEST.info)) + 3 * 4 + 2


class Site:
    """Answers after some seconds, or when it is let go, with a tensor of so many numbers."""

    def __init__(self, seconds: float = 0.0, numbers: int = 5, fetched: int = 0) -> None:
        self.seconds, self.numbers, self.fetched = seconds, numbers, fetched
        self.go = threading.Event()
        self.go.set()
        self.worker = self
        self.stopped = 0
        self.threads: list[str] = []

    def answer(self, task: str, request: Message, on_progress: Any) -> tuple[Message, int]:
        self.threads.append(threading.current_thread().name)
        on_progress(1, 2)
        self.go.wait(30)
        time.sleep(self.seconds)
        return Message({"task": task}, {"w": torch.zeros(self.numbers)}), self.fetched

    def stop(self) -> None:
        self.stopped += 1


class Received:
    """What arrived, in order."""

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}

    def __call__(self, site: str, unwrap: Any) -> None:
        self.messages[site] = unwrap()


def up(task: str, numbers: int) -> int:
    return len(json.dumps({"task": task})) + 4 * numbers


def sent(
    sites: dict[str, Site], at_once: bool, enough: int = 99, task_s: int = 30, grace_s: float = 30
) -> tuple[Received, ByteLedger, float]:
    transport: Any = LocalTransport(Path("local"), sites, at_once)  # type: ignore[arg-type]
    ledger, received = ByteLedger(), Received()
    ledger.stage = "rounds"
    transport.connect(ledger, lambda *_: None, True)
    waiting = Waiting(task_s, grace_s, lambda: len(received.messages) >= enough)
    started = time.monotonic()
    transport.send("dsf_train", REQUEST, list(sites), received, waiting)
    spent = time.monotonic() - started
    for site in sites.values():
        site.go.set()
    transport.finish("")
    return received, ledger, spent


@pytest.mark.parametrize("at_once", [False, True])
def test_everybody_answers_and_every_byte_counts(at_once: bool) -> None:
    """The request's facts and tensors down, the reply's up, and the files that a site fetched down as well."""
    sites = {"a": Site(numbers=5), "b": Site(numbers=7, fetched=1000)}
    received, ledger, _ = sent(sites, at_once)
    assert received.messages.keys() == {"a", "b"}
    assert received.messages["b"].tensors["w"].numel() == 7
    found: dict[tuple[str, str], int] = {}
    for entry in ledger.entries():
        key = (entry["site"], entry["direction"])
        found[key] = found.get(key, 0) + entry["bytes"]
    assert found == {
        ("a", "down"): DOWN,
        ("b", "down"): DOWN + 1000,
        ("a", "up"): up("dsf_train", 5),
        ("b", "up"): up("dsf_train", 7),
    }
    assert {entry["stage"] for entry in ledger.entries()} == {"rounds"}


def test_in_this_process_one_site_works_after_the_other() -> None:
    sites = {"a": Site(), "b": Site()}
    sent(sites, False)
    assert sites["a"].threads == sites["b"].threads == [threading.current_thread().name]


def test_side_by_side_each_site_has_a_thread_of_its_own_and_the_faster_comes_first() -> None:
    sites = {"a": Site(0.5), "b": Site(0.0)}
    received, _, spent = sent(sites, True)
    assert list(received.messages) == ["b", "a"]
    assert spent < 3
    assert sites["a"].threads != sites["b"].threads


def test_a_straggler_is_waited_for_no_longer_than_the_grace_once_there_are_enough() -> None:
    sites = {"a": Site(), "b": Site(), "c": Site()}
    sites["c"].go.clear()
    received, ledger, spent = sent(sites, True, enough=2, grace_s=0.5)
    assert received.messages.keys() == {"a", "b"}
    assert 0.4 < spent < 10
    assert {entry["site"] for entry in ledger.entries() if entry["direction"] == "up"} == {"a", "b"}


def test_a_straggler_that_comes_within_the_grace_counts() -> None:
    received, _, _ = sent({"a": Site(), "b": Site(0.4)}, True, enough=1, grace_s=30)
    assert received.messages.keys() == {"a", "b"}


def test_nobody_is_waited_for_longer_than_the_task_may_take() -> None:
    sites = {"a": Site(), "b": Site()}
    for site in sites.values():
        site.go.clear()
    received, _, spent = sent(sites, True, task_s=1)
    assert received.messages == {}
    assert 0.9 < spent < 10


def test_a_site_that_is_still_busy_does_the_next_task_after_it() -> None:
    """Its one thread: no task of a site runs beside another one of it."""
    site = Site()
    transport: Any = LocalTransport(Path("local"), {"a": site}, True)  # type: ignore[arg-type]
    site.go.clear()
    first, second = Received(), Received()
    transport.send("dsf_base", REQUEST, ["a"], first, Waiting(0, 0, lambda: True))
    assert first.messages == {}
    site.go.set()
    transport.send("dsf_train", REQUEST, ["a"], second, Waiting(30, 30, lambda: False))
    assert second.messages["a"].info == {"task": "dsf_train"}
    assert len(set(site.threads)) == 1
    transport.finish("")
    assert site.stopped == 1


def test_steps_are_passed_on_with_site_and_task() -> None:
    transport: Any = LocalTransport(Path("local"), {"a": Site(), "b": Site()}, False)  # type: ignore[arg-type]
    steps: list[tuple[str, str, int, int]] = []
    transport.connect(ByteLedger(), lambda *told: steps.append(told), True)
    transport.send("dsf_train", REQUEST, ["a", "b"], Received(), Waiting(1, 1, lambda: False))
    assert steps == [("a", "dsf_train", 1, 2), ("b", "dsf_train", 1, 2)]


def test_surroundings_and_offers_are_paths_on_this_machine(tmp_path: Path) -> None:
    transport: Any = LocalTransport(tmp_path, {"b": Site(), "a": Site()}, False)  # type: ignore[arg-type]
    assert transport.surroundings() == Surroundings(tmp_path, tmp_path, ("a", "b"))
    manifest = noise_manifest(tmp_path / "set", ["a"] * 2)
    with transport.offered(tmp_path / "set", manifest) as offer:
        assert offer == SetOffer(manifest, str(tmp_path / "set"))
    with transport.offered_file(tmp_path / "file") as file:
        assert file == FileOffer("this machine", str(tmp_path / "file"))
