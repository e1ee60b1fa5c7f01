# SPDX-License-Identifier: Apache-2.0
"""A site's update on its way up: packed behind the hospital's own filters, unpacked where its network is known.

The residual of error feedback lies in the site's folder, one file for each arm and round. Round r takes up the residual
behind round r - 1, so a round that is asked again after a restart gives the same bytes again; a site that missed the
round before starts with none. What privacy filters made of an update is all that enters a residual.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.updates import decode, feed_back, shapes_of
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message
from dsfedmed.store.files import read_tensors, write_tensors

UPDATE = "update"
FOLDER = "residuals"


def announce(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reply says under ``update`` so that it is packed, from the request's facts."""
    return {"arm": info["arm"], "round": info["round"], "precision": info["precision"]}


def pack_update(message: Message, site: str, folder: Path) -> Message:
    """Bring a reply's update into the wire's format and keep what rounding took from it.

    Args:
        message: an update in floating point with ``info["update"]`` (see `announce`); any other message is returned
            as it is.
        site: the sender, for errors.
        folder: the site's own folder.

    Raises:
        PayloadError: a value is not finite or does not fit.
    """
    update = message.info.get(UPDATE)
    if update is None:
        return message
    residual = _read_residual(folder, update, message.tensors)
    encoded, left = feed_back(message.tensors, residual, update["precision"], site)
    write_tensors(_file(folder, update, 0), left)
    _file(folder, update, CACHED_ROUNDS).unlink(missing_ok=True)
    info = {**message.info, UPDATE: {**update, "layout": encoded.layout}}
    return Message(info, encoded.tensors, message.is_difference)


def unpack_update(message: Message, weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return a reply's update in float32, checked against the weights it belongs to; unpacked ones as they are.

    Raises:
        PayloadError: the update is not one of these weights, or is damaged.
    """
    update = message.info.get(UPDATE)
    if not isinstance(update, dict) or "layout" not in update:
        return message.tensors
    if update.get("precision") not in ("fp32", "fp16", "int8"):
        raise PayloadError(where, "sent an update in an unknown format", "Use the same version of dsfedmed everywhere")
    return decode(message.tensors, shapes_of(weights), update["precision"], str(update["layout"]), where)


def _read_residual(folder: Path, update: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the round before left; another network's residual in the same folder is no use."""
    path = _file(folder, update, 1)
    residual = read_tensors(path) if path.exists() else {}
    return residual if shapes_of(residual) == shapes_of(tensors) else {}


def _file(folder: Path, update: dict[str, Any], rounds_ago: int) -> Path:
    return folder / FOLDER / f"{update['arm']}-{int(update['round']) - rounds_ago:04d}.safetensors"
