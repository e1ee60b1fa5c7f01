# SPDX-License-Identifier: Apache-2.0
"""A site's update as it arrives: unpacked where its network is known, and checked whole before anything is added."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.exchange.updates import decode, shapes_of
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import BodyT, Envelope


def unpack_update(reply: Envelope[BodyT], weights: Mapping[str, Tensor], where: str) -> Weights:
    """Return a reply's update in float32, checked against the weights it belongs to.

    Raises:
        PayloadError: the update is not one of these weights, or is damaged.
    """
    update = reply.header.update
    if not reply.is_difference:
        raise PayloadError(where, "sent whole weights instead of a difference", SAME_VERSION)
    if update is None or not update.layout:
        return check_tensors(reply.tensors, specs_of(weights), where)
    return decode(reply.tensors, shapes_of(weights), update.precision, update.layout, where)
