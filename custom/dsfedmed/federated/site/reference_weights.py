# SPDX-License-Identifier: Apache-2.0
"""The weights that a request speaks of, at the site: sent whole, or a difference to the reference held on disk.

The offer of the whole reference is dropped before the site's worker sees a request, so that one asked again after a
restart is the same request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from dsfedmed.errors import PayloadError, StoreError
from dsfedmed.exchange.compression import add, unpack
from dsfedmed.exchange.tensors import Weights, digest
from dsfedmed.exchange.updates import EIGHT_BIT, Shapes, decode
from dsfedmed.federated.wire.message import BodyT, Envelope
from dsfedmed.federated.wire.reference import FOLDER, WEIGHTS
from dsfedmed.federated.wire.specs import FileOffer, RoundFacts, SetOffer
from dsfedmed.store.files import inside, read_tensors, write_tensors

PULLED = "pulled"
"""The source of files that the site has."""
PullFile = Callable[[FileOffer, Path, Callable[[Path], bool]], None]
"""Brings an offered file into its place and verifies it there; raises ``PayloadError`` where it is not whole."""


def fetch_reference_weights(request: Envelope[BodyT], folder: Path, pull: PullFile) -> Envelope[BodyT]:
    """Make sure that the site holds a reference the request can start from; return the request without the offer.

    Raises:
        PayloadError: the file did not arrive whole.
    """
    body: Any = request.body
    facts = getattr(body, "round", None)
    if not isinstance(facts, RoundFacts) or facts.reference is None or facts.reference.offer is None:
        return request
    move, offer = facts.reference, facts.reference.offer
    target = reference_file(folder, facts.training, move.target)
    if not target.exists() and not reference_file(folder, facts.training, move.start).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        pull(offer, target, lambda path: _is_reference(path, move.target))
    kept = replace(facts, reference=replace(move, offer=None))
    return replace(request, body=replace(body, round=kept))


def without_offer(request: Envelope[BodyT]) -> Envelope[BodyT]:
    """Return the request without the tokens by which a set's files were pulled: only the manifest is its content."""
    body: Any = request.body
    offer = getattr(body, "files", None)
    if not isinstance(offer, SetOffer):
        return request
    return replace(request, body=replace(body, files=SetOffer(offer.manifest, PULLED)))


def resolve_weights(facts: RoundFacts, tensors: dict[str, Tensor], folder: Path, shapes: Shapes) -> Weights:
    """Return the weights that a request speaks of, by name; the reference of int8 moves on disk.

    Args:
        facts: the request's round.
        tensors: its tensors: whole weights, or a difference to the reference held here.
        folder: the site's own folder.
        shapes: names and shapes of the site's network.

    Raises:
        PayloadError: the site holds another reference, or the difference does not lead to the one announced.
    """
    move = facts.reference
    if move is None:
        return {n.removeprefix(WEIGHTS): t for n, t in tensors.items() if n.startswith(WEIGHTS)}
    target = reference_file(folder, facts.training, move.target)
    source = reference_file(folder, facts.training, move.start)
    fix = "It pulls the whole weights the next time it is asked"
    weights: Weights | None = None
    try:
        if target.exists():
            weights = unpack(read_tensors(target))
        elif source.exists() and tensors:
            held = unpack(read_tensors(source))
            weights = add(held, decode(tensors, shapes, EIGHT_BIT, move.layout, "server"))
        else:
            raise PayloadError("reference", "is not the one that the server's difference belongs to", fix)
    except StoreError:  # a file that was damaged here
        weights = None
    if weights is None or digest(weights) != move.target:
        target.unlink(missing_ok=True)
        source.unlink(missing_ok=True)
        raise PayloadError("reference", "does not match its hash", fix)
    if not target.exists():
        write_tensors(target, weights)
    for old in target.parent.glob(f"{facts.training}.*.safetensors"):
        if old != target:
            old.unlink(missing_ok=True)
    return weights


def reference_file(folder: Path, training: str, sha256: str) -> Path:
    """Return where a site keeps a reference."""
    return inside(folder / FOLDER, f"{training}.{sha256 or 'none'}.safetensors")


def _is_reference(path: Path, sha256: str) -> bool:
    try:
        return path.exists() and digest(unpack(read_tensors(path))) == sha256
    except StoreError:
        return False
