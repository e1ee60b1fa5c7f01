# SPDX-License-Identifier: Apache-2.0
"""How a round of most methods begins and ends at a site: weights that arrive, and the difference that goes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from dsfedmed.algorithms.local_layers import divide
from dsfedmed.exchange.compression import difference, unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.exchange.updates import shapes_of
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import resolve_weights
from dsfedmed.federated.site.round_files import before_round, keep_best, keep_round
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


@dataclass(frozen=True)
class DividedRound(BegunRound):
    """A round of a network that stays at the site in part.

    Attributes:
        local: names of what stays.
        folder: where the site keeps it after each of the last rounds, and the whole network that was best by the site's
            own validation.
    """

    local: frozenset[str]
    folder: Path

    def trained(self, mean_loss: float, steps: int, dice: float | None = None) -> Envelope[TrainReply]:
        """Keep what stays, and return the reply of a trained round: the difference of the rest, and its numbers."""
        own = divide(_whole(self.network), self.local)[1]
        keep_round(self.folder, f"{self.facts.training}-", self.facts.round, own)
        return super().trained(mean_loss, steps, dice)


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


def begin_divided(
    site: SiteContext,
    common: RunFacts,
    facts: RoundFacts,
    tensors: dict[str, Tensor],
    network: nn.Module,
    local: frozenset[str],
    folder: Path,
) -> DividedRound:
    """Load what arrived, and what stayed at the site after its last round, into ``network``; validate the two together.

    The network is kept if it is the best by the site's own validation.
    """
    data, stem, done = SiteData(site, common, facts.batch_size), f"{facts.training}-", facts.round - (facts.epochs > 0)
    shared, _ = divide(trained_tensors(network), local)
    arrived = resolve_weights(facts, tensors, site.folder, shapes_of(shared))
    start = unpack(check_tensors(arrived, specs_of(shared), "server"))
    own = before_round(folder, stem, done + 1)
    network.load_state_dict({**start, **own}, strict=False)
    dice = validate(data, network.to(site.config.device))
    if own:
        keep_best(folder, facts.training, done, dice, _whole(network))
    return DividedRound(data, facts, network, start, dice, local, folder)


def round_header(facts: RoundFacts, reply: TrainReply, precision: Precision) -> ReplyHeader:
    """Return the header of a trained round: its numbers for the tracking, and how its update is to be packed."""
    numbers = {"loss": reply.loss, "validation_dice": reply.validation}
    scalars = {f"{facts.training}/{name}": value for name, value in numbers.items() if value is not None}
    return ReplyHeader(scalars=scalars, step=facts.round, update=announce(facts, precision))


def _whole(network: nn.Module) -> Weights:
    """Return the whole state dict as copies on the CPU, which further training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
