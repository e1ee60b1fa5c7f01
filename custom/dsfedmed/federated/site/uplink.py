# SPDX-License-Identifier: Apache-2.0
"""A site's update on its way up: packed after the hospital's own filters.

The residual of error feedback lies in the site's folder, one file for each training run and round. Round r takes up the
residual of round r - 1, so a round that is asked again after a restart gives the same bytes again; a site that missed
the round before starts with none. What privacy filters made of an update is all that enters a residual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from dsfedmed.exchange.tensors import Weights
from dsfedmed.exchange.updates import feed_back, shapes_of
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message, UpdateHeader, is_error, open_header, with_header
from dsfedmed.federated.wire.specs import Precision, RoundFacts
from dsfedmed.store.files import inside, read_tensors, write_tensors

FOLDER = "residuals"


def announce(facts: RoundFacts, precision: Precision) -> UpdateHeader:
    """Return what a reply's header says so that its update is packed."""
    return UpdateHeader(facts.training, facts.round, precision)


def pack_update(message: Message, site: str, folder: Path) -> Message:
    """Bring a reply's update into the wire's format and keep what rounding took from it.

    Args:
        message: an update in floating point whose header announces it; any other message is returned as it is.
        site: the sender, for errors.
        folder: the site's own folder.

    Raises:
        PayloadError: a value is not finite or does not fit.
    """
    if is_error(message):
        return message
    header = open_header(message, site)
    update = header.update
    if update is None or update.layout:
        return message
    residual = _read_residual(folder, update, message.tensors)
    encoded, left = feed_back(message.tensors, residual, update.precision, site)
    write_tensors(_file(folder, update, 0), left)
    _file(folder, update, CACHED_ROUNDS).unlink(missing_ok=True)
    packed = replace(header, update=replace(update, layout=encoded.layout))
    return with_header(replace(message, tensors=encoded.tensors), packed)


def _read_residual(folder: Path, update: UpdateHeader, tensors: Mapping[str, Tensor]) -> Weights:
    """Return what the round before left; another network's residual in the same folder is no use."""
    path = _file(folder, update, 1)
    residual = read_tensors(path) if path.exists() else {}
    return residual if shapes_of(residual) == shapes_of(tensors) else {}


def _file(folder: Path, update: UpdateHeader, rounds_ago: int) -> Path:
    return inside(folder / FOLDER, f"{update.training}-{update.round - rounds_ago:04d}.safetensors")
