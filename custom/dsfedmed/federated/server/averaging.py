# SPDX-License-Identifier: Apache-2.0
"""FedAvg over the sites that answer: w <- w + sum_k (n_k / n) (w_k - w), one reply in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.exchange.compression import add, require_fits
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.task import ReplyT, RequestT, Task


class Mean(Protocol):
    """How the sites' differences become one (`WeightedMean`, or `ProductMean` for low-rank updates)."""

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add a site's difference, or refuse it as a whole."""

    def result(self) -> dict[str, Tensor]:
        """Return the common difference."""


def federated_average(
    run: FederatedWorkflow,
    task: Task[RequestT, ReplyT],
    request: Envelope[RequestT],
    weights: Weights,
    counts: Mapping[str, int],
    check: Callable[[str, ReplyT], None],
    mean_of: Callable[[Mapping[str, Tensor]], Mean] = WeightedMean,
) -> tuple[Weights, dict[str, Envelope[ReplyT]]]:
    """Send a task to the sites of ``counts`` and add the weighted mean of their differences to ``weights``.

    Each update is unpacked and checked whole before anything of it is added; a bad one is refused with its site named
    and the round goes on without it. ``counts`` are the sites' declared training images, ``check`` raises for a reply
    that does not fit what was asked, and ``mean_of`` is the kind of mean.

    Returns:
        The new weights, and the replies without their tensors.
    """
    mean = mean_of(weights)
    precision = run.settings.light.precision

    def receive(site: str, reply: Envelope[ReplyT]) -> None:
        check(site, reply.body)
        update = unpack_update(reply, weights, site)
        # A site's own weights must fit the wire, and so does their mean, which is sent in the next round.
        require_fits(((name, tensor + update[name]) for name, tensor in weights.items()), precision, site)
        mean.add(site, update, counts[site])

    replies = run.ask(task, request, sites=list(counts), on_reply=receive)
    return add(weights, mean.result()), replies
