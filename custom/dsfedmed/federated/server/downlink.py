# SPDX-License-Identifier: Apache-2.0
"""Weights on their way down: whole in fp32 and fp16, as a difference to what every site holds in int8.

In int8 a request names the reference it starts from and the one it leads to, by hash. A site that holds neither (it is
new, or missed a round) pulls the whole reference as a file, which is offered with every request; for all others a byte
a weight is enough. Whole weights in fp16 need nothing of the past; a difference in fp16 would be no smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.reference import Reference, advance
from dsfedmed.exchange.updates import EIGHT_BIT
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.reference import FOLDER, WEIGHTS
from dsfedmed.federated.wire.specs import ReferenceMove
from dsfedmed.store.files import write_tensors


@dataclass(frozen=True)
class Broadcast:
    """What a request says of the weights.

    Attributes:
        reference: the weights as every site will hold them.
        move: from which weights to which the tensors lead, where they are a difference.
        tensors: tensors for the request.
    """

    reference: Reference
    move: ReferenceMove | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def broadcast(
    run: FederatedWorkflow, training: str, weights: dict[str, Tensor], reference: Reference
) -> Iterator[Broadcast]:
    """Prepare the weights of a training run for its sites; within the block, a site may pull the reference.

    Args:
        run: the workflow.
        training: name of the training run.
        weights: the server's own, float32.
        reference: what the sites hold since the last time.
    """
    precision = run.settings.light.precision
    if precision != EIGHT_BIT:
        packed = pack(weights, precision)
        yield Broadcast(Reference(unpack(packed)), None, {WEIGHTS + name: tensor for name, tensor in packed.items()})
        return
    moved, encoded = advance(reference, weights)
    path = run.folder / FOLDER / f"{training}.safetensors"
    # The first reference is one of half-precision numbers and is sent as such.
    write_tensors(path, moved.weights if reference.sha256 else pack(moved.weights, "fp16"), travels=True)
    with run.transport.offered_file(path) as offer:
        layout = encoded.layout if encoded else ""
        move = ReferenceMove(reference.sha256, moved.sha256, layout, offer)
        yield Broadcast(moved, move, encoded.tensors if encoded else {})
