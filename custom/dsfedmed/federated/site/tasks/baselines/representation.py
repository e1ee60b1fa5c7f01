# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_local_head``: a round of FedRep or FedPer. The head stays at the site; the representation is averaged.

Files in ``local_layers/``: the head after each of the last rounds, and the whole network that was best by the site's
own validation, which is scored in the end and written as a bundle. Every site's head begins as that of the start.
"""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from dsfedmed.algorithms.representation import head_names, learning
from dsfedmed.errors import PayloadError
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_layers import FOLDER
from dsfedmed.federated.site.tasks.local_training import fit_in_round
from dsfedmed.federated.site.tasks.round_parts import DividedRound, begin_divided
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import HeadRequest, TrainReply
from dsfedmed.seeds import derive_seed
from dsfedmed.training.light import LocalTraining, TrainingSummary

HEAD = "head"
"""Part of a round's seeds, and of the name of its optimiser's file."""


def train_head_and_body(site: SiteContext, request: Envelope[HeadRequest]) -> Envelope[TrainReply]:
    """Validate the representation with the site's own head, train both, and return the former's difference."""
    body, facts, common = request.body, request.body.round, request.body.common
    network = site.bundle(common.light).network(seed=derive_seed(common.seed, "light"))
    head, folder = _head(network, body.head_layers), site.folder / FOLDER
    begun = begin_divided(site, common, facts, request.tensors, network, head, folder)
    if facts.epochs == 0:
        return begun.validated()
    names = {name for name, _ in network.named_parameters()}
    if not body.head_epochs:
        together = _fit(begun, names, facts.epochs)
        return begun.trained(together.mean_loss, together.steps)
    first = _fit(begun, head, body.head_epochs, HEAD)
    then = _fit(begun, names - head, facts.epochs)
    return begun.trained(then.mean_loss, first.steps + then.steps)


def _head(network: nn.Module, layers: int) -> frozenset[str]:
    """Return the names of the head.

    Raises:
        PayloadError: the server asked for one that leaves nothing to share.
    """
    try:
        return head_names(network, layers)
    except ValueError as error:
        raise PayloadError("server", f"asked for a head that cannot be: {error}", SAME_VERSION) from error


def _fit(begun: DividedRound, names: Collection[str], epochs: int, part: str = "") -> TrainingSummary:
    """Train the parameters of these names for so many passes."""
    data, facts = begun.data, begun.facts
    with learning(begun.network, names) as parameters:
        optimizer = data.site.bundle(data.common.light).optimizer(parameters)
        training = LocalTraining(epochs, rules=facts.rules)
        return fit_in_round(data, facts, begun.network, optimizer, training, part=part)
