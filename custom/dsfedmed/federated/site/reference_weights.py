# SPDX-License-Identifier: Apache-2.0
"""The weights that a request speaks of, at the site: sent whole, or a difference to the reference held on disk.

The offer of the whole reference is dropped before the site's worker sees a request, so that one asked again after a
restart is the same request.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from dsfedmed.errors import PayloadError, StoreError
from dsfedmed.exchange.compression import add, unpack
from dsfedmed.exchange.tensors import digest
from dsfedmed.exchange.updates import EIGHT_BIT, Shapes, decode
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare.file_streaming import pull_file
from dsfedmed.store.files import read_tensors, write_tensors

REFERENCE = "reference"
FOLDER = "references"
WEIGHTS = "weights/"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def fetch_reference_weights(request: Message, folder: Path, cell: Any, abort_signal: Any) -> Message:
    """Make sure that the site holds a reference the request can start from; return the request without the offer.

    Raises:
        PayloadError: the file did not arrive whole.
    """
    named = dict(request.info[REFERENCE])
    offer = named.pop("offer")
    target = reference_file(folder, request.info["arm"], named["to"])
    if not target.exists() and not reference_file(folder, request.info["arm"], named["from"]).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        pull_file(offer, target, lambda path: _is_reference(path, named["to"]), cell, abort_signal)
    return Message({**request.info, REFERENCE: named}, request.tensors, request.is_difference)


def resolve_weights(request: Message, folder: Path, shapes: Shapes) -> dict[str, Tensor]:
    """Return the weights that a request speaks of, by name; the reference of int8 moves on disk.

    Args:
        request: with whole weights, or with a difference to the reference held here.
        folder: the site's own folder.
        shapes: names and shapes of the site's network.

    Raises:
        PayloadError: the site holds another reference, or the difference does not lead to the one announced.
    """
    if REFERENCE not in request.info:
        return {n.removeprefix(WEIGHTS): t for n, t in request.tensors.items() if n.startswith(WEIGHTS)}
    named, arm = request.info[REFERENCE], request.info["arm"]
    target, source = reference_file(folder, arm, named["to"]), reference_file(folder, arm, named["from"])
    fix = "It pulls the whole weights the next time it is asked"
    if target.exists():
        weights = unpack(read_tensors(target))
    elif source.exists() and request.tensors:
        held = unpack(read_tensors(source))
        weights = add(held, decode(request.tensors, shapes, EIGHT_BIT, named["layout"], "server"))
    else:
        raise PayloadError("reference", "is not the one that the server's difference belongs to", fix)
    if digest(weights) != named["to"]:
        target.unlink(missing_ok=True)
        source.unlink(missing_ok=True)
        raise PayloadError("reference", "does not match its hash", fix)
    if not target.exists():
        write_tensors(target, weights)
    for old in target.parent.glob(f"{arm}.*.safetensors"):
        if old != target:
            old.unlink(missing_ok=True)
    return weights


def reference_file(folder: Path, arm: str, sha256: str) -> Path:
    """Return where a site keeps a reference.

    Raises:
        PayloadError: the names would lead out of the folder.
    """
    if not PLAIN_NAME.fullmatch(arm) or not re.fullmatch(r"[0-9a-f]*", sha256):
        raise PayloadError("server", f"named an arm {arm!r}", "Use the same version of dsfedmed everywhere")
    return folder / FOLDER / f"{arm}.{sha256 or 'none'}.safetensors"


def _is_reference(path: Path, sha256: str) -> bool:
    try:
        return path.exists() and digest(unpack(read_tensors(path))) == sha256
    except StoreError:
        return False
