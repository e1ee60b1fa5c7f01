# SPDX-License-Identifier: Apache-2.0
"""Tensors that a site keeps from round to round for itself: of the last few rounds, and the best by its own validation.

Round r reads what an earlier round left, never its own: a round that is asked again gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.store.files import inside, read_json, read_tensors, write_json, write_tensors


def keep_round(folder: Path, stem: str, number: int, tensors: Mapping[str, Tensor]) -> None:
    """Keep what round ``number`` left, and remove what is too old to be asked for."""
    write_tensors(_file(folder, stem, number), tensors)
    _file(folder, stem, number - CACHED_ROUNDS).unlink(missing_ok=True)


def before_round(folder: Path, stem: str, number: int) -> Weights:
    """Return what the last round before ``number`` left; empty if there is none."""
    end = _file(folder, stem, number).name
    files = sorted(path for path in folder.glob(f"{stem}[0-9]*.safetensors") if path.name < end)
    return read_tensors(files[-1]) if files else {}


def keep_best(folder: Path, training: str, number: int, dice: float, weights: Mapping[str, Tensor]) -> None:
    """Keep the weights after round ``number`` if the site's validation Dice never was as good."""
    path = inside(folder, f"{training}-best.json")
    if path.exists() and read_json(path)["validation_dice"] >= dice:
        return
    write_tensors(path.with_suffix(".safetensors"), weights)
    write_json(path, {"round": number, "validation_dice": dice})


def best_weights(folder: Path, training: str) -> Weights:
    """Return the best weights by the site's own validation; empty if there are none."""
    path = inside(folder, f"{training}-best.safetensors")
    return read_tensors(path) if path.exists() else {}


def _file(folder: Path, stem: str, number: int) -> Path:
    return inside(folder, f"{stem}{number:04d}.safetensors")
