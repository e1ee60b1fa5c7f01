# SPDX-License-Identifier: Apache-2.0
"""FedAvg over the sites that answer: w <- w + sum_k (n_k / n) (w_k - w), one reply in memory at a time.

The updates of a round are held on disk until it is decided which of them count. Where all do, the result is that of
the plain mean to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.compression import add, require_fits
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.robust.combine import combined
from dsfedmed.federated.server.robust.held_updates import HeldUpdates
from dsfedmed.federated.server.robust.standing import Standing, refuse_by_form
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.task import ReplyT, RequestT, Task

HELD = "updates"
"""Below the run folder, during a round: the updates that have arrived."""


class Mean(Protocol):
    """How the sites' differences become one (`WeightedMean`, or `ProductMean` for low-rank updates)."""

    @property
    def names(self) -> tuple[str, ...]:
        """The sites that were added, in order."""

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add a site's difference, or refuse it as a whole."""

    def result(self) -> dict[str, Tensor]:
        """Return the common difference."""


MeanOf = Callable[[Mapping[str, Tensor]], Mean]
"""Makes a mean of differences to given weights."""


@dataclass
class Collected:
    """What has arrived in a round.

    Attributes:
        weights: what every site started from.
        counts: the sites' declared training images.
        mean_of: the kind of mean.
        held: the updates.
        mean: that of all updates, added as they came.
        replies: without their tensors.
        refused: sites whose update does not count, with the reason.
        shares: weights of the sites in the mean, where they are not ``counts``; empty where they are.
    """

    weights: Weights
    counts: Mapping[str, int]
    mean_of: MeanOf
    held: HeldUpdates
    mean: Mean
    replies: dict[str, Envelope[Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """The sites whose update counts, in order of arrival."""
        return [site for site in self.held.sites if site not in self.refused]

    def average(self, run: FederatedWorkflow, without: str | None = None) -> Weights:
        """Return the weights after the round, by the rule of the settings; ``without`` leaves one more site out."""
        sites = [site for site in self.kept if site != without]
        if run.settings.robust.is_plain and not self.shares and tuple(sites) == self.mean.names:
            return add(self.weights, self.mean.result())
        mean = self.mean_of(self.weights)
        outvoted, shares = len(self.held.sites) - len(sites), self.shares or self.counts
        return add(self.weights, combined(self.held, sites, shares, mean, run.settings.robust.after(outvoted)))

    def average_by_form(self, run: FederatedWorkflow, where: str) -> Weights:
        """Return the weights after a round that nobody validates: what cannot be an update by its form does not count.

        Raises:
            DSFedMedError: as `require_enough`.
        """
        refuse_by_form(run, self, Standing(), None)
        self.require_enough(run, where)
        return self.average(run)

    def require_enough(self, run: FederatedWorkflow, where: str) -> None:
        """See that enough updates count.

        Raises:
            DSFedMedError: updates were refused and fewer than ``min_sites`` are left, with the reasons.
        """
        needed = min(run.settings.min_sites, len(self.counts))
        if self.refused and len(self.kept) < needed:
            told = "; ".join(f"{site} {reason}" for site, reason in self.refused.items())
            reason = f"{len(self.kept)} of {needed} needed updates count ({told})"
            raise DSFedMedError(where, reason, "Look at these sites, or run without them")


@contextmanager
def collected(
    run: FederatedWorkflow,
    task: Task[RequestT, ReplyT],
    request: Envelope[RequestT],
    weights: Weights,
    counts: Mapping[str, int],
    check: Callable[[str, ReplyT], None],
    mean_of: MeanOf = WeightedMean,
) -> Iterator[Collected]:
    """Send a task to the sites of ``counts``; within the block their updates are held.

    Each update is unpacked and checked whole before anything of it is added; a bad one is refused with its site named
    and the round goes on without it. ``counts`` are the sites' declared training images, ``check`` raises for a reply
    that does not fit what was asked, and ``mean_of`` is the kind of mean.
    """
    held = HeldUpdates(run.folder / HELD, weights)
    found = Collected(weights, counts, mean_of, held, mean_of(weights))
    precision = run.settings.light.precision

    def receive(site: str, reply: Envelope[ReplyT]) -> None:
        check(site, reply.body)
        update = unpack_update(reply, weights, site)
        # A site's own weights must fit the wire, and so does their mean, which is sent in the next round.
        require_fits(((name, tensor + update[name]) for name, tensor in weights.items()), precision, site)
        found.mean.add(site, update, counts[site])
        held.add(site, update)

    try:
        found.replies = dict(run.ask(task, request, sites=list(counts), on_reply=receive))
        yield found
    finally:
        held.close()
