# SPDX-License-Identifier: Apache-2.0
"""Weights on their way down in eight bits: who pulls and who does not, and that all train from the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
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
    TrainingState,
    resume_or_start,
    train_round,
    train_until,
    validate_training,
)
from dsfedmed.federated.site.reference_weights import fetch_reference_weights, reference_file, resolve_weights
from dsfedmed.federated.site.uplink import announce, pack_update
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare import file_streaming as files
from tests.federated.tiny import FakeFlow, tiny_settings

ARM = TrainingSpec("dsfedmed")
SHAPES = {"w": (40, 50), "b": (7,)}


def _weights(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draws) for name, shape in SHAPES.items()}


class Federation:
    """Two sites with disks of their own: each moves by a seeded step a round, packed as a site packs it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str = "int8") -> None:
        self.folder, self.pulled, self.started = folder, [], []
        self.absent: set[str] = set()
        monkeypatch.setattr(files, "download_file", self._download)
        values = tiny_settings(light={"precision": precision})
        self.flow = FakeFlow(folder / "server", values, self._answer)
        self.plan: Any = SimpleNamespace(
            settings=values, counts={"site_a": 4, "site_b": 12}, common={"precision": precision}, teacher_spec={}
        )

    def train(self, state: TrainingState, rounds: int = 1) -> TrainingState:
        for _ in range(rounds):
            state = train_round(self.flow, self.plan, ARM, state)  # type: ignore[arg-type]
        return state

    def _download(self, source: str, reference: str, *_: Any, **__: Any) -> tuple[str, str]:
        arrived = self.folder / f"download-{len(self.pulled)}"
        shutil.copy(reference, arrived)
        self.pulled.append(self.site)
        return "", str(arrived)

    def _answer(self, site: str, task: str, request: Message) -> Message | None:
        if site in self.absent:
            return None
        self.site, folder, info = site, self.folder / site, request.info
        if "reference" in info:
            request = fetch_reference_weights(request, folder, None, None)
            assert "offer" not in request.info["reference"]
        start = resolve_weights(request, folder, SHAPES)
        self.started.append((site, info["round"], digest(start)))
        answer = {"validation": 0.01 * len(self.started)}
        if info["epochs"] == 0:
            return Message(answer)
        step = {name: 1e-3 * tensor for name, tensor in _weights(100 * info["round"] + ord(site[-1])).items()}
        update = difference(
            add({n: t.float() for n, t in start.items()}, step), {n: t.float() for n, t in start.items()}
        )
        reply = Message({**answer, "steps": 1, "loss": 0.1, "update": announce(info)}, update, True)
        return pack_update(reply, site, folder)


@pytest.fixture
def federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Federation:
    return Federation(tmp_path, monkeypatch)


def test_everyone_pulls_once_and_then_differences_are_enough(federation: Federation) -> None:
    federation.train(TrainingState(_weights(0)), 4)
    assert federation.pulled == ["site_a", "site_b"]
    starts = {number: {sha for _, n, sha in federation.started if n == number} for number in range(1, 5)}
    assert all(len(found) == 1 for found in starts.values()), "both sites train from the same bits"
    sizes = [byte_count(request.tensors) for _, _, request in federation.flow.asked]
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
    state = train_until(federation.flow, federation.plan, ARM, TrainingState(_weights(0)), lambda s: s.round >= 2, 2)  # type: ignore[arg-type]
    assert state.best_round == 2
    _, _, validated = federation.started[-1]
    assert digest(state.best) == validated
    assert digest(state.weights) != validated, "the server's own weights are near it but were never validated"


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_whole_weights_need_no_reference_and_the_best_is_what_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    federation = Federation(tmp_path, monkeypatch, precision)
    state = federation.train(TrainingState(_weights(0)), 2)
    assert federation.pulled == []
    assert not (tmp_path / "site_a" / "references").exists()
    sent = federation.flow.asked[-1][2].tensors
    assert all(torch.equal(tensor, sent[f"weights/{name}"].float()) for name, tensor in state.best.items())


def test_unchanged_weights_are_not_sent_again(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 2)
    validate_training(federation.flow, federation.plan, ARM, state)  # type: ignore[arg-type]
    federation.train(state)
    kinds = [byte_count(request.tensors) > 0 for _, _, request in federation.flow.asked]
    assert kinds == [False, True, True, False]


def test_a_restarted_arm_asks_the_same_again(federation: Federation, tmp_path: Path) -> None:
    """Killed in round 3 after the sites had the request: it goes out again as it was, and nobody has to pull."""
    state = federation.train(TrainingState(_weights(0)), 2)
    store = federation.flow.folder / "store"
    shutil.copytree(store, tmp_path / "as it was")
    whole = federation.train(state)
    killed = federation.flow.asked[-1][2]
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "as it was", store)
    again = resume_or_start(federation.flow, ARM, {})  # type: ignore[arg-type]
    assert again.round == 2
    again = federation.train(again)
    repeated = federation.flow.asked[-1][2]
    assert digest(repeated.tensors) == digest(killed.tensors)
    assert repeated.info["reference"] == killed.info["reference"]
    assert digest(again.weights) == digest(whole.weights)
    assert federation.pulled == ["site_a", "site_b"]


def test_the_state_in_the_store_holds_the_reference_to_the_last_bit(federation: Federation) -> None:
    state = federation.train(TrainingState(_weights(0)), 3)
    reopened = resume_or_start(federation.flow, ARM, {})  # type: ignore[arg-type]
    assert reopened.reference.sha256 == digest(reopened.reference.weights) == state.reference.sha256
    with broadcast(federation.flow, "x", state.weights, state.reference) as one:  # type: ignore[arg-type]
        pass
    with broadcast(federation.flow, "x", reopened.weights, reopened.reference) as other:  # type: ignore[arg-type]
        pass
    assert one.reference.sha256 == other.reference.sha256
    assert digest(one.tensors) == digest(other.tensors)


@pytest.mark.parametrize("arm", ["../evil", "a/b", "", "a.b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, arm: str) -> None:
    with pytest.raises(PayloadError, match="named an arm"):
        reference_file(tmp_path, arm, "0" * 64)
    with pytest.raises(PayloadError):
        reference_file(tmp_path, "dsfedmed", "../x")


def test_a_difference_without_its_reference_is_refused(federation: Federation, tmp_path: Path) -> None:
    federation.train(TrainingState(_weights(0)), 2)
    _, _, request = federation.flow.asked[-1]
    with pytest.raises(PayloadError, match="is not the one that the server's difference belongs to"):
        resolve_weights(request, tmp_path / "nobody", SHAPES)


def test_the_first_reference_is_offered_in_half_precision(federation: Federation) -> None:
    with broadcast(federation.flow, "x", _weights(0), Reference()) as sent:  # type: ignore[arg-type]
        offered = Path(sent.info["reference"]["offer"]["reference"])
        assert offered.stat().st_size < 2 * 2007 + 500
    assert shapes_of(sent.reference.weights) == SHAPES
