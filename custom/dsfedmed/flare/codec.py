# SPDX-License-Identifier: Apache-2.0
"""Raw messages in NVFlare's form: an FLModel in a DXO.

Differences travel as WEIGHT_DIFF and anything else as WEIGHTS, so that a hospital's privacy filters see what they are
made for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nvflare.apis.dxo import MetaKey
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_opt.pt.decomposers import TensorDecomposer
from nvflare.fuel.utils import fobs
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import byte_count, digest
from dsfedmed.federated.wire.codec import SAME_VERSION, from_json
from dsfedmed.federated.wire.message import Message
from dsfedmed.ranges import Bytes, Sha256
from dsfedmed.store.json_types import JsonObject

SEAL = "dsfedmed"
"""Key of the seal in the model's meta data."""
INFO_MIB = 256
MIB = 2**20


@dataclass(frozen=True)
class Seal:
    """What goes with the tensors.

    Attributes:
        bytes: of the tensors.
        sha256: of the tensors.
        is_last: whether no filter comes after this.
    """

    bytes: Bytes
    sha256: Sha256
    is_last: bool = False


def register_tensors() -> None:
    """Let NVFlare's serialiser carry torch tensors; needed once in every process that sends or receives."""
    fobs.register(TensorDecomposer)


def sealed_meta(message: Message, is_last: bool = False) -> JsonObject:
    """Return what goes with the tensors: the message's JSON, and bytes and digest of the tensors."""
    size, sha256 = byte_count(message.tensors), digest(message.tensors)
    return {"info": message.info, "seal": {"bytes": size, "sha256": sha256, "is_last": is_last}}


def to_model(message: Message) -> FLModel:
    """Wrap a message; the digest of its tensors goes with it."""
    kind = ParamsType.DIFF if message.is_difference else ParamsType.FULL
    return FLModel(params=dict(message.tensors), params_type=kind, meta={SEAL: sealed_meta(message)})


def from_model(model: FLModel, where: str, filtered: bool = False) -> Message:
    """Unwrap a message and check its digest.

    Args:
        model: what NVFlare delivered.
        where: the sender, for the error.
        filtered: a site's privacy filter may have changed the tensors, so the digest is not compared unless the last
            filter at the site renewed it.

    Raises:
        PayloadError: the message is not of this package or is encrypted, or its tensors are not those that were sent.
    """
    require_plain_numbers(model.meta, where)
    info, seal = open_meta((model.meta or {}).get(SEAL), where)
    tensors = {str(name): _from_disk(value) for name, value in (model.params or {}).items()}
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise PayloadError(where, f"sent {wrong[0]} that is not a tensor", SAME_VERSION)
    is_sealed = seal.is_last or not filtered
    if is_sealed and (byte_count(tensors) != seal.bytes or digest(tensors) != seal.sha256):
        raise PayloadError(where, "sent tensors that do not match their hash", "Send again; check the connection")
    return Message(info, tensors, model.params_type == ParamsType.DIFF)


def require_plain_numbers(meta: object, where: str) -> None:
    """Refuse what a filter has encrypted or masked and marked so, as NVFlare's homomorphic encryption does.

    Gate, trials and robust rules read every update alone. Nothing here can work on ciphertexts or masked sums.

    Raises:
        PayloadError: the meta data name an algorithm that the tensors went through.
    """
    algorithm = meta.get(MetaKey.PROCESSED_ALGORITHM) if isinstance(meta, dict) else None
    if algorithm is not None:
        fix = "Take that filter out of the job and of local/privacy.json; SECURITY.md says why it is not offered"
        raise PayloadError(where, f"sent tensors that {str(algorithm)[:40]} has encrypted or masked", fix)


def open_meta(meta: object, where: str) -> tuple[JsonObject, Seal]:
    """Return the message's JSON and the seal that came with its tensors.

    Raises:
        PayloadError: it is none of ours, or no plain JSON.
    """
    if not isinstance(meta, dict) or set(meta) != {"info", "seal"} or not isinstance(meta["info"], dict):
        raise PayloadError(where, "sent a message without our header", SAME_VERSION)
    try:
        size = len(json.dumps(meta["info"], allow_nan=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(where, f"sent facts that are no plain JSON ({error})", SAME_VERSION) from error
    if size > INFO_MIB * MIB:
        raise PayloadError(where, f"sent {size / MIB:.0f} MiB of facts", SAME_VERSION)
    return meta["info"], from_json(Seal, meta["seal"], where)


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
