# SPDX-License-Identifier: Apache-2.0
"""Requests and replies between server and sites, and their form in NVFlare (an FLModel in a DXO).

A message is tensors by name and JSON-like facts. Differences travel as WEIGHT_DIFF and anything else as WEIGHTS, so
that a hospital's privacy filters see what they are made for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_opt.pt.decomposers import TensorDecomposer
from nvflare.fuel.utils import fobs
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import byte_count, digest

HEADER = "dsfedmed"
CACHED_ROUNDS = 3
"""Rounds for which a site keeps what it needs to answer the same request again."""


@dataclass(frozen=True)
class Message:
    """Tensors, facts, and whether the tensors are a difference to weights that the receiver holds."""

    info: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    is_difference: bool = False


def register_tensors() -> None:
    """Let NVFlare's serialiser carry torch tensors; needed once in every process that sends or receives."""
    fobs.register(TensorDecomposer)


def header(message: Message, sealed: bool = False) -> dict[str, Any]:
    """Return what goes with the tensors: facts, bytes and digest; ``sealed`` when no filter comes behind."""
    size, sha256 = byte_count(message.tensors), digest(message.tensors)
    return {"info": message.info, "bytes": size, "sha256": sha256, "sealed": sealed}


def to_model(message: Message) -> FLModel:
    """Wrap a message; the digest of its tensors goes with it."""
    kind = ParamsType.DIFF if message.is_difference else ParamsType.FULL
    meta = {HEADER: header(message)}
    round_number = message.info.get("round")
    return FLModel(params=dict(message.tensors), params_type=kind, meta=meta, current_round=round_number)


def from_model(model: FLModel, where: str, filtered: bool = False) -> Message:
    """Unwrap a message and check its digest.

    Args:
        model: what NVFlare delivered.
        where: the sender, for the message.
        filtered: a site's privacy filter may have changed the tensors, so the digest is not compared unless the last
            filter at the site renewed it.

    Raises:
        PayloadError: the message is not of this package, or its tensors are not those that were sent.
    """
    head = (model.meta or {}).get(HEADER)
    if not isinstance(head, dict) or not isinstance(head.get("info"), dict) or not isinstance(head.get("sha256"), str):
        raise PayloadError(where, "sent a message without our header", "Use the same version of dsfedmed everywhere")
    tensors = {name: _from_disk(value) for name, value in (model.params or {}).items()}
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise PayloadError(where, f"sent {wrong[0]} that is no tensor", "Use the same version of dsfedmed everywhere")
    is_sealed = not filtered or head.get("sealed") is True
    if is_sealed and (byte_count(tensors) != head.get("bytes") or digest(tensors) != head["sha256"]):
        raise PayloadError(where, "sent tensors that do not match their hash", "Send again; check the connection")
    return Message(head["info"], tensors, model.params_type == ParamsType.DIFF)


def to_shareable(message: Message) -> Shareable:
    """Wrap a message as the result of a site's executor."""
    return FLModelUtils.to_shareable(to_model(message))


def from_shareable(shareable: Shareable, where: str) -> Message:
    """Unwrap the data of a task that a site's executor was given."""
    return from_model(FLModelUtils.from_shareable(shareable), where)


def _from_disk(value: Any) -> Any:
    """Load a tensor that NVFlare laid on disk (see `dsfedmed.flare.offload`); any other value is returned."""
    load = getattr(value, "materialize", None)
    return load() if callable(load) else value
