# SPDX-License-Identifier: Apache-2.0
"""The weights that every site holds, moved by differences: the way down in few bits.

The server's weights w (the master) stay float32. The sites hold a reference v, the same bits everywhere, and every
send moves it:  q = Q(w - v),  v <- v + q.  What rounding left behind, w - v, is part of the next difference of itself,
so error feedback needs no residual here (DoubleSqueeze, Tang et al., arXiv 1905.05957, server side). Sites train from v
and send differences to v; their mean is added to w and not to v, for added to v it would lose what v still lacks.

Sums and products are taken number by number in float32 on the CPU, so server and sites arrive at the same bits, and a
hash tells whether they did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from dsfedmed.exchange.compression import add, pack, unpack
from dsfedmed.exchange.tensors import digest
from dsfedmed.exchange.updates import EIGHT_BIT, Encoded, encode


@dataclass(frozen=True)
class Reference:
    """What the sites hold.

    Attributes:
        weights: the reference v, float32.
        sha256: its digest.
        master: digest of the master it was last moved towards; "" before the first.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    sha256: str = ""
    master: str = ""


def advance(reference: Reference, master: Mapping[str, Tensor]) -> tuple[Reference, Encoded | None]:
    """Move the reference towards the master.

    Returns:
        The new reference, and the difference that leads to it from the old one; None where there is none to send: the
        first reference is the master in half precision and has to be fetched whole, and a master that did not change
        leaves the reference where it is.
    """
    towards = digest(master)
    if not reference.sha256:
        weights = unpack(pack(master, "fp16", "server"))
        return Reference(weights, digest(weights), towards), None
    if reference.master == towards:
        return reference, None
    lacking = {name: tensor - reference.weights[name] for name, tensor in master.items()}
    encoded = encode(lacking, EIGHT_BIT, "server")
    weights = add(reference.weights, encoded.received)
    return Reference(weights, digest(weights), towards), encoded
