# SPDX-License-Identifier: Apache-2.0
"""Weights on their way down in eight bits: who pulls and who does not, and that all train from the same bits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import add, difference
from dsfedmed.exchange.reference import Reference
from dsfedmed.exchange.tensors import byte_count, digest
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.server.downlink import broadcast
from dsfedmed.federated.server.training_run import (
    TrainingSpec,
    resume_or_start,
    train_round,
    train_until,
    validate_training,
)
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.site.reference_weights import fetch_reference_weights, reference_file, resolve_weights
from dsfedmed.federated.site.uplink import announce, pack_update
from dsfedmed.federated.wire.message import Envelope, ReplyHeader, open_reply, reply_message
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import FileOffer
from dsfedmed.federated.wire.task import Task
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings

SPEC = TrainingSpec("dsfedmed")
SHAPES = {"w": (40, 50), "b": (7,)}


def _weights(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draws) for name, shape in SHAPES.items()}


class Federation:
    """Two sites with disks of their own: each moves by a seeded step a round, packed as a site packs it."""

    def __init__(self, folder: Path, precision: str = "int8") -> None:
        self.folder, self.pulled, self.started = folder, [], []
        self.absent: set[str] = set()
        values = tiny_settings(light={"precision": precision})
        self.run: Any = FakeRun(folder / "server", values, self._answer)
        self.plan = tiny_plan(values)

    def train(self, state: TrainingState, rounds: int = 1) -> TrainingState:
        for _ in range(rounds):
            state = train_round(self.run, self.plan, SPEC, state)
        return state

    def _answer(self, site: str, task: Task[Any, Any], request: Envelope[TrainRequest]) -> Envelope[TrainReply] | None:
        if site in self.absent:
            return None

        def pull(offer: FileOffer, target: Path, is_whole: Any) -> None:
            shutil.copy(offer.reference, target)
            assert is_whole(target)
            self.pulled.append(site)

        folder, moved = self.folder / site, request.body.round.reference is not None
        request = fetch_reference_weights(request, folder, pull)
        facts = request.body.round
        assert facts.reference is None or facts.reference.offer is None
        assert (facts.reference is not None) is moved
        start = resolve_weights(facts, request.tensors, folder, SHAPES)
        self.started.append((site, facts.round, digest(start)))
        reply = TrainReply(facts.round, 0.01 * len(self.started))
        if facts.epochs == 0:
            return Envelope(reply)
        step = {name: 1e-3 * tensor for name, tensor in _weights(100 * facts.round + ord(site[-1])).items()}
        update = difference(
            add({n: t.float() for n, t in start.items()}, step), {n: t.float() for n, t in start.items()}
        )
        header = ReplyHeader(update=announce(facts, request.body.common.precision))
        message = reply_message(Envelope(replace(reply, steps=1, loss=0.1), update, True, header))
        return open_reply(task, pack_update(message, site, folder), site)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


def test_everyone_pulls_once_and_then_differences_are_enough(federation: Federation) -> None:
    federation.train(TrainingState(_weights(0)), 4)
    assert federation.pulled == ["site_a", "site_b"]
    starts = {number: {sha for _, n, sha in federation.started if n == number} for number in range(1, 5)}
    assert all(len(found) == 1 for found in starts.values()), "both sites train from the same bits"
    sizes = [byte_count(request.tensors) for _, _, request in federation.run.asked]
    assert sizes[0] == 0
    assert all(1500 < size < 2 * 2007 for size in sizes[1:])


def test_the_sum_of_all_steps_arrives_whatever_was_rounded(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 6)
    expected = _weights(0)["w"]
    for number in range(1, 7):
        steps = [1e-3 * _weights(100 * number + ord(site))["w"] for site in "ab"]
        expected = expected + (4 * steps[0] + 12 * steps[1]) / 16
    assert (state.weights["w"] - expected).abs().max() < 5e-5, "the master has lost nothing"
    assert (state.reference.weights["w"] - expected).abs().max() < 5e-3, "the sites are one round and a rounding behind"


def test_a_site_that_missed_a_round_pulls_and_trains_from_the_same_bits(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 2)
    federation.absent = {"site_b"}
    state = federation.train(state)
    federation.absent = set()
    federation.train(state)
    assert federation.pulled == ["site_a", "site_b", "site_b"]
    assert len({sha for _, number, sha in federation.started if number == 4}) == 1


def test_a_site_with_a_spoilt_reference_refuses_once_and_then_pulls(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 2)
    spoilt = reference_file(federation.folder / "site_a", "dsfedmed", state.reference.sha256)
    shutil.copy(federation.folder / "server" / "references" / "dsfedmed.safetensors", spoilt)
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 64
    spoilt.write_bytes(content)
    with pytest.raises(PayloadError, match="reference: does not match its hash"):
        federation.train(state)
    federation.train(state)
    assert federation.pulled == ["site_a", "site_b", "site_a"]


def test_the_best_weights_are_those_that_were_validated(federation: Federation) -> None:
    """The last round of a run is validated as the sites hold it, and that is what a release gets, bit by bit."""
    state = train_until(federation.run, federation.plan, SPEC, TrainingState(_weights(0)), lambda s: s.round >= 2, 2)
    assert state.best_round == 2
    _, _, validated = federation.started[-1]
    assert digest(state.best) == validated
    assert digest(state.weights) != validated, "the server's own weights are near it but were never validated"


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_whole_weights_need_no_reference_and_the_best_is_what_was_sent(tmp_path: Path, precision: str) -> None:
    federation = Federation(tmp_path, precision)
    state = federation.train(TrainingState(_weights(0)), 2)
    assert federation.pulled == []
    assert not (tmp_path / "site_a" / "references").exists()
    sent = federation.run.asked[-1][2].tensors
    assert all(torch.equal(tensor, sent[f"weights/{name}"].float()) for name, tensor in state.best.items())


def test_unchanged_weights_are_not_sent_again(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 2)
    validate_training(federation.run, federation.plan, SPEC, state)
    federation.train(state)
    kinds = [byte_count(request.tensors) > 0 for _, _, request in federation.run.asked]
    assert kinds == [False, True, True, False]


def test_a_restarted_run_asks_the_same_again(federation: Federation, tmp_path: Path) -> None:
    """Killed in round 3 after the sites had the request: it goes out again as it was, and nobody has to pull."""
    state = federation.train(TrainingState(_weights(0)), 2)
    store = federation.run.folder / "store"
    shutil.copytree(store, tmp_path / "as it was")
    whole = federation.train(state)
    killed = federation.run.asked[-1][2]
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "as it was", store)
    again = resume_or_start(federation.run, SPEC, {})
    assert again.round == 2
    again = federation.train(again)
    repeated = federation.run.asked[-1][2]
    assert digest(repeated.tensors) == digest(killed.tensors)
    assert repeated.body == killed.body
    assert digest(again.weights) == digest(whole.weights)
    assert federation.pulled == ["site_a", "site_b"]


def test_the_state_in_the_store_holds_the_reference_to_the_last_bit(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 3)
    reopened = resume_or_start(federation.run, SPEC, {})
    assert reopened.reference.sha256 == digest(reopened.reference.weights) == state.reference.sha256
    with broadcast(federation.run, "x", state.weights, state.reference) as one:
        pass
    with broadcast(federation.run, "x", reopened.weights, reopened.reference) as other:
        pass
    assert one.reference.sha256 == other.reference.sha256
    assert digest(one.tensors) == digest(other.tensors)


def test_a_difference_without_its_reference_is_refused(federation: Federation, tmp_path: Path) -> None:
    federation.train(TrainingState(_weights(0)), 2)
    _, _, request = federation.run.asked[-1]
    with pytest.raises(PayloadError, match="is not the one that the server's difference belongs to"):
        resolve_weights(request.body.round, request.tensors, tmp_path / "nobody", SHAPES)


def test_the_first_reference_is_offered_in_half_precision(federation: Federation) -> None:
    with broadcast(federation.run, "x", _weights(0), Reference()) as sent:
        assert sent.move is not None
        assert sent.move.offer is not None
        assert (sent.move.start, sent.move.layout, sent.tensors) == ("", "", {})
        offered = Path(sent.move.offer.reference)
        assert offered.stat().st_size < 2 * 2007 + 500
    assert shapes_of(sent.reference.weights) == SHAPES
