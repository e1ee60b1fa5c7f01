# SPDX-License-Identifier: Apache-2.0
"""FedAvg over the sites that answer, by hand: n_k / n, one reply at a time, bad ones left out whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.federated.server.averaging import collected
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Envelope, ReplyHeader, UpdateHeader, open_reply, reply_message
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.settings import Settings

WEIGHTS = {"w": torch.zeros(40, 50), "b": torch.zeros(7)}
NO_REQUEST: Envelope[Any] = Envelope(None)


def update(seed: int) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tensor.shape, generator=draws) * 1e-3 for name, tensor in WEIGHTS.items()}


def sent(site: str, seed: int, folder: Path) -> Envelope[TrainReply]:
    """Return a site's update as it arrives in eight bits."""
    header = ReplyHeader(update=UpdateHeader("dsfedmed", 1, "int8"))
    message = reply_message(Envelope(TrainReply(1, 0.5, 1.0, 2), update(seed), True, header))
    return open_reply(TRAIN, pack_update(message, site, folder / site), site)


class Run:
    """A workflow that hands over replies, and leaves out those that are refused."""

    def __init__(self, replies: Mapping[str, Envelope[TrainReply]], folder: Path) -> None:
        self.replies, self.refused, self.folder = replies, list[str](), folder
        self.asked: Any = None
        self.settings = Settings()

    def ask(
        self, task: Any, request: Any, sites: Any, on_reply: Callable[[str, Envelope[TrainReply]], None]
    ) -> dict[str, Envelope[TrainReply]]:
        self.asked = (task, request, sites)
        good = {}
        for site, reply in self.replies.items():
            try:
                on_reply(site, reply)
                good[site] = reply.without_tensors()
            except PayloadError as error:
                self.refused.append(error.where)
        return good


def average(
    run: Any,
    counts: dict[str, int],
    check: Callable[..., None] = lambda *_: None,
    weights: dict[str, Tensor] = WEIGHTS,
    **more: Any,
) -> Any:
    with collected(run, TRAIN, NO_REQUEST, weights, counts, check, **more) as found:
        return found.average_by_form(run, TRAIN.name), found.replies


def test_a_damaged_update_is_refused_by_name_and_the_others_are_averaged(tmp_path: Path) -> None:
    """Three parts of b's update and one of a's; c sends the update of another network, and d whole weights."""
    replies = {site: sent(site, number, tmp_path) for number, site in enumerate("abcd")}
    other = replace(replies["c"].header, update=UpdateHeader("dsfedmed", 1, "int8", "0" * 64))
    replies["c"] = replace(replies["c"], header=other)
    replies["d"] = replace(replies["d"], is_difference=False)
    run = Run(replies, tmp_path)
    got, answered = average(run, {"a": 1, "b": 3, "c": 9, "d": 9})
    assert run.refused == ["c", "d"]
    assert list(answered) == ["a", "b"]
    expected = (update(0)["w"] + 3 * update(1)["w"]) / 4
    assert (got["w"] - expected).abs().max() < 2e-5


def test_the_mean_is_added_to_the_servers_own_weights(tmp_path: Path) -> None:
    replies = {
        site: Envelope(TrainReply(1), {"w": torch.tensor([value])}, True) for site, value in (("a", 1.0), ("b", 5.0))
    }
    run: Any = Run(replies, tmp_path)
    got, _ = average(run, {"a": 4, "b": 12}, weights={"w": torch.tensor([10.0])})
    assert got["w"].tolist() == [14.0], "10 + (4 * 1 + 12 * 5) / 16"
    assert run.asked == (TRAIN, NO_REQUEST, ["a", "b"])


def test_what_a_reply_says_is_checked_before_its_update_counts(tmp_path: Path) -> None:
    def check(site: str, reply: TrainReply) -> None:
        if site == "b":
            raise PayloadError(site, f"answered round {reply.round} instead of 2", "x")

    run = Run({site: sent(site, number, tmp_path) for number, site in enumerate("ab")}, tmp_path)
    got, answered = average(run, {"a": 1, "b": 3}, check)
    assert (run.refused, list(answered)) == (["b"], ["a"])
    assert (got["w"] - update(0)["w"]).abs().max() < 2e-5


def test_another_kind_of_mean_may_be_taken(tmp_path: Path) -> None:
    class Largest:
        """Takes the difference of the site with the most images."""

        def __init__(self, weights: Mapping[str, Tensor]) -> None:
            self.found: tuple[float, dict[str, Tensor]] = (0.0, {})

        @property
        def names(self) -> tuple[str, ...]:
            return ("a", "b")

        def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
            self.found = max(self.found, (weight, dict(tensors)), key=lambda pair: pair[0])

        def result(self) -> dict[str, Tensor]:
            return self.found[1]

    replies = {site: Envelope(TrainReply(1), update(number), True) for number, site in enumerate("ab")}
    got, _ = average(Run(replies, tmp_path), {"a": 1, "b": 3}, mean_of=Largest)
    assert all(torch.equal(got[name], tensor) for name, tensor in update(1).items())
