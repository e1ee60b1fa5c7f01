# SPDX-License-Identifier: Apache-2.0
"""How a round of most methods begins and ends at a site: weights that arrive, and the difference that goes back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.tensors import Weights
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.tasks.local_training import SiteData, validate
from dsfedmed.federated.site.tasks.networks import load
from dsfedmed.federated.site.uplink import announce
from dsfedmed.federated.wire.message import Envelope, ReplyHeader
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.specs import Precision, RoundFacts, RunFacts
from dsfedmed.networks.trained_tensors import trained_tensors


@dataclass(frozen=True)
class BegunRound:
    """A round whose weights have arrived.

    Attributes:
        data: the site's images.
        facts: which round.
        network: with the weights that arrived; it is trained in place.
        start: these weights, float32.
        dice: their mean Dice on the site's validation part.
    """

    data: SiteData
    facts: RoundFacts
    network: nn.Module
    start: Weights
    dice: float

    def validated(self) -> Envelope[TrainReply]:
        """Return the reply of a round that validates only."""
        return Envelope(TrainReply(self.facts.round, self.dice))

    def trained(self, mean_loss: float, steps: int, dice: float | None = None) -> Envelope[TrainReply]:
        """Return the reply of a trained round: the difference from what arrived, and its numbers.

        ``dice`` is that of what was trained, where it was asked for.
        """
        reply = TrainReply(self.facts.round, self.dice, mean_loss, steps, dice)
        update = difference(trained_tensors(self.network), self.start)
        return Envelope(reply, update, True, round_header(self.facts, reply, self.data.common.precision))


def begin_round(
    site: SiteContext,
    common: RunFacts,
    facts: RoundFacts,
    tensors: dict[str, Tensor],
    network: nn.Module,
    seen: nn.Module | None = None,
) -> BegunRound:
    """Load what arrived into ``network``, move it to the site's device, and validate it.

    Where ``seen`` is given, which holds ``network``, that is validated: a network as the site's images come to it.
    """
    data = SiteData(site, common, facts.batch_size)
    arrived = resolve_weights(facts, tensors, site.folder, shapes_of(trained_tensors(network)))
    start = load(network, arrived, site.config.device)
    return BegunRound(data, facts, network, start, validate(data, seen or network))


def round_header(facts: RoundFacts, reply: TrainReply, precision: Precision) -> ReplyHeader:
    """Return the header of a trained round: its numbers for the tracking, and how its update is to be packed."""
    numbers = {"loss": reply.loss, "validation_dice": reply.validation}
    scalars = {f"{facts.training}/{name}": value for name, value in numbers.items() if value is not None}
    return ReplyHeader(scalars=scalars, step=facts.round, update=announce(facts, precision))
