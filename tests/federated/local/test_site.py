# SPDX-License-Identifier: Apache-2.0
"""A site on this machine: it fetches what a request offers, hides the offer from its worker, and packs updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.reference import Reference, advance
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.site.reference_weights import PULLED
from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    ReplyHeader,
    UpdateHeader,
    is_error,
    open_reply,
    open_request,
    reply_message,
    request_message,
)
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.requests.synthetic import AuditReply, AuditRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import FileOffer, ReferenceMove, SetOffer
from dsfedmed.federated.wire.tasks import AUDIT, FACTS, TRAIN, task_named
from dsfedmed.store.files import write_tensors
from tests.federated.tiny import noise_manifest, tiny_plan, tiny_settings

PLAN = tiny_plan(tiny_settings(light={"precision": "int8"}))
UPDATE = {"w": torch.linspace(-1, 1, 2000).reshape(40, 50)}


class Worker:
    """Does a task as the test says."""

    def __init__(self, do: Callable[[Envelope[Any]], Envelope[Any]]) -> None:
        self.do, self.asked = do, list[Envelope[Any]]()

    def run(self, task: str, request: Message, aborted: Callable[[], bool], on_progress: Any = None) -> Message:
        assert not aborted()
        self.asked.append(open_request(task_named(task), request))
        return reply_message(self.do(self.asked[-1]))

    def stop(self) -> None:
        """Nothing to end."""


def no_progress(_: int, __: int) -> None:
    """Nobody wants to know."""


def trained(_: Envelope[Any]) -> Envelope[TrainReply]:
    header = ReplyHeader(update=UpdateHeader("fedavg", 1, "int8"))
    return Envelope(TrainReply(1, 0.5, 0.1, 2), dict(UPDATE), True, header)


def train_message(move: ReferenceMove | None = None) -> Message:
    facts = replace(PLAN.round_facts("fedavg", 1), reference=move)
    return request_message(Envelope(TrainRequest(PLAN.common, facts, "light", PLAN.teacher_spec)))


def test_an_update_is_packed_and_its_seconds_are_measured(tmp_path: Path) -> None:
    site = LocalSite("site_a", tmp_path, Worker(trained))
    message, fetched = site.answer("dsf_train", train_message(), no_progress)
    reply = open_reply(TRAIN, message, "site_a")
    assert fetched == 0
    assert set(reply.tensors) == {"codes", "scales", "plain"}
    assert reply.header.update is not None
    assert len(reply.header.update.layout) == 64
    assert 0 <= reply.header.seconds < 60
    assert (tmp_path / "residuals" / "fedavg-0001.safetensors").is_file()


def test_a_set_is_copied_once_verified_and_not_named_to_the_worker(tmp_path: Path) -> None:
    manifest = noise_manifest(tmp_path / "server", ["site_b"] * 3, shard_size=2)
    worker = Worker(lambda _: Envelope(AuditReply(0.1)))
    site = LocalSite("site_a", tmp_path / "own", worker)
    asked = request_message(Envelope(AuditRequest(PLAN.common, SetOffer(manifest, str(tmp_path / "server")), 0.05)))
    message, fetched = site.answer("dsf_audit", asked, no_progress)
    assert open_reply(AUDIT, message, "site_a").body == AuditReply(0.1)
    assert fetched == manifest.bytes
    assert {path.name for path in (tmp_path / "own" / SET_FOLDER).iterdir()} == {s.name for s in manifest.shards}
    assert worker.asked[0].body.files == SetOffer(manifest, PULLED)
    assert site.answer("dsf_audit", asked, no_progress)[1] == 0, "what is here is not fetched again"
    spoilt = tmp_path / "own" / SET_FOLDER / manifest.shards[1].name
    spoilt.write_bytes(b"half")
    assert site.answer("dsf_audit", asked, no_progress)[1] == manifest.shards[1].bytes
    assert len(worker.asked) == 3


def test_an_altered_shard_is_refused_and_the_bytes_count_all_the_same(tmp_path: Path) -> None:
    manifest = noise_manifest(tmp_path / "server", ["site_b"] * 3)
    shard = tmp_path / "server" / manifest.shards[0].name
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    worker = Worker(lambda _: Envelope(AuditReply(0.1)))
    site = LocalSite("site_a", tmp_path / "own", worker)
    asked = request_message(Envelope(AuditRequest(PLAN.common, SetOffer(manifest, str(tmp_path / "server")), 0.05)))
    message, fetched = site.answer("dsf_audit", asked, no_progress)
    assert is_error(message)
    assert fetched == manifest.bytes
    assert worker.asked == []


def test_a_reference_is_pulled_by_a_site_that_holds_none(tmp_path: Path) -> None:
    reference, _ = advance(Reference(), UPDATE)
    write_tensors(tmp_path / "reference.safetensors", pack(reference.weights, "fp16"), travels=True)
    size = (tmp_path / "reference.safetensors").stat().st_size
    move = ReferenceMove("", reference.sha256, "", FileOffer("this machine", str(tmp_path / "reference.safetensors")))
    worker = Worker(trained)
    site = LocalSite("site_a", tmp_path / "own", worker)
    assert site.answer("dsf_train", train_message(move), no_progress)[1] == size
    assert site.answer("dsf_train", train_message(move), no_progress)[1] == 0
    assert [asked.body.round.reference for asked in worker.asked] == [replace(move, offer=None)] * 2
    other = replace(move, target="0" * 64)
    message, fetched = LocalSite("site_b", tmp_path / "b", worker).answer(
        "dsf_train", train_message(other), no_progress
    )
    assert fetched == size
    with pytest.raises(PayloadError, match="site_b: did not arrive whole"):
        open_reply(TRAIN, message, "site_b")


def test_what_a_task_raises_is_told_as_a_reply(tmp_path: Path) -> None:
    def fail(_: Envelope[Any]) -> Envelope[Any]:
        raise DSFedMedError("site_a", "has no images", "Give it some")

    site = LocalSite("site_a", tmp_path, Worker(fail))
    asked = request_message(Envelope(FactsRequest()))
    with pytest.raises(PayloadError) as caught:
        open_reply(FACTS, site.answer("dsf_facts", asked, no_progress)[0], "site_a")
    assert (caught.value.reason, caught.value.fix) == ("has no images", "Give it some")


@pytest.mark.parametrize(("task", "message"), [("dsf_shell", Message()), ("dsf_facts", Message({"body": {"x": 1}}))])
def test_a_request_that_is_none_never_reaches_the_worker(tmp_path: Path, task: str, message: Message) -> None:
    worker = Worker(trained)
    reply, fetched = LocalSite("site_a", tmp_path, worker).answer(task, message, no_progress)
    assert is_error(reply)
    assert (fetched, worker.asked) == (0, [])
