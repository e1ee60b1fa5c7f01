# SPDX-License-Identifier: Apache-2.0
"""Weights files: read without executing anything, matched key by key, and reported in words."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dsfedmed.errors import CheckpointError
from dsfedmed.store.files import write_atomic

SHOWN_KEYS = 5
WRAPPERS = ("state_dict", "model", "model_state_dict")


@dataclass(frozen=True)
class KeyReport:
    """What became of every key.

    Attributes:
        source: the file, without its folder, or the site that the weights came from; the report goes into records.
        loaded: keys copied into the network.
        missing: keys of the network that the file does not have (they keep their start values).
        unexpected: keys of the file that the network does not have.
        dropped: keys of the file that were left out: a class-dependent head of another shape, or parts nothing runs.
        resized: of the loaded keys, the position tables that were resampled to the network's image size.
        inflated: of the loaded keys, the first layer's, learned on RGB and inflated to the network's channels.
        idle: of the loaded keys, those the network holds for the format's sake and never runs, such as SAM's prompts.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    dropped: tuple[str, ...]
    resized: tuple[str, ...] = ()
    inflated: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return one paragraph for a log."""
        parts = [f"{self.source}: {len(self.loaded)} tensors loaded"]
        for word, keys in (
            ("of them resampled to this image size", self.resized),
            ("of them inflated from RGB to its channels", self.inflated),
            ("of them held but not run", self.idle),
            ("not in the file", self.missing),
            ("not in the network", self.unexpected),
            ("dropped", self.dropped),
        ):
            if keys:
                parts.append(f"{len(keys)} {word}: {_some(keys)}")
        return "; ".join(parts) + "."


@runtime_checkable
class FitsPositions(Protocol):
    """A network that can take position tables of another image size."""

    def fit_positions(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tables of ``state`` that have another size, resampled to the network's."""


@runtime_checkable
class FitsChannels(Protocol):
    """A network that can take the first layer of a network for RGB."""

    def fit_channels(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of ``state`` that are for RGB, inflated to the network's channels."""


def read_state(path: Path | str, where: str = "") -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a torch file read with ``weights_only=True``.

    A torch file may hold the state dict itself or hold it under "state_dict", "model" or "model_state_dict".

    Raises:
        CheckpointError: no such file, unreadable, refused by ``weights_only``, or not a dict of tensors.
    """
    path = Path(path)
    name = _name(path, where)
    if not path.is_file():
        raise CheckpointError(
            name,
            "no such file; a weights file was expected (.safetensors, or .pt/.pth with a state dict)",
            "Correct the path, fetch the checkpoint first, or leave the setting empty to start without it.",
        )
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _read_torch(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            name, f"cannot be read as plain weights ({reason})", "Save it as .safetensors or as a plain state dict."
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(name, "holds no dict of tensors", "Save network.state_dict() itself.")
    return {str(key): value for key, value in state.items()}


def load_weights(
    network: nn.Module,
    path: Path | str,
    where: str = "",
    *,
    allow_head_change: bool = False,
    allow_resize: bool = False,
    allow_channels: bool = False,
) -> KeyReport:
    """Load a weights file into a network, whole or not at all.

    Args:
        network: target; may name ``class_dependent_prefixes``, the keys of a head that depends on the classes.
        path: safetensors or torch file.
        where: the site or setting, for the error text.
        allow_head_change: let the class-dependent head be absent or of another shape; it then keeps its start values.
        allow_resize: resample position tables that were learned at another image size (``network.fit_positions``).
        allow_channels: inflate a first layer that was learned on RGB (``network.fit_channels``).

    Raises:
        CheckpointError: unreadable file, another architecture (missing, unexpected or misshapen keys), or numbers
            that are not finite. The network is unchanged then.
    """
    state, name = read_state(path, where), _name(Path(path), where)
    allowed = {"allow_head_change": allow_head_change, "allow_resize": allow_resize, "allow_channels": allow_channels}
    report = load_state(network, state, name, **allowed)
    return replace(report, source=_name(Path(Path(path).name), where))


def load_state(
    network: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    *,
    allow_head_change: bool = False,
    allow_resize: bool = False,
    allow_channels: bool = False,
) -> KeyReport:
    """Load a state dict as :func:`load_weights` loads a file; ``where`` names it in errors and in the report."""
    own = network.state_dict()
    fitted = network.fit_positions(state) if allow_resize and isinstance(network, FitsPositions) else {}
    wider = network.fit_channels(state) if allow_channels and isinstance(network, FitsChannels) else {}
    state = {**state, **fitted, **wider}
    prefixes = tuple(getattr(network, "class_dependent_prefixes", ())) if allow_head_change else ()
    head = {key for key in {*own, *state} if prefixes and key.startswith(prefixes)}
    shared = [key for key in own if key in state]
    misshapen = [key for key in shared if own[key].shape != state[key].shape]
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    _refuse_other_architecture(where, own, state, missing, unexpected, misshapen, head)
    loaded = [key for key in shared if key not in misshapen]
    broken = [key for key in loaded if state[key].is_floating_point() and not bool(torch.isfinite(state[key]).all())]
    if broken:
        raise CheckpointError(
            where, f"numbers that are not finite in {_some(broken)}", "Take a checkpoint from before training diverged."
        )
    network.load_state_dict({key: state[key] for key in loaded}, strict=False)
    idle = tuple(getattr(network, "idle_prefixes", ()))
    return KeyReport(
        where,
        tuple(loaded),
        tuple(missing),
        tuple(unexpected),
        tuple(misshapen),
        resized=tuple(key for key in loaded if key in fitted),
        inflated=tuple(key for key in loaded if key in wider),
        idle=tuple(key for key in loaded if idle and key.startswith(idle)),
    )


def save_weights(state: Mapping[str, Tensor], path: Path | str, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors (default) or, for .pt and .pth, as a plain torch state dict; atomic.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    plain = {key: value.detach().to("cpu").contiguous().clone() for key, value in state.items()}

    def write(partial: Path) -> None:
        if path.suffix in (".pt", ".pth"):
            torch.save(plain, partial)
        else:
            save_file(plain, partial, metadata=dict(metadata) if metadata else None)

    write_atomic(path, write)


def _read_torch(path: Path) -> object:
    state = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            return state[wrapper]
    return state


def _refuse_other_architecture(
    where: str,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    missing: list[str],
    unexpected: list[str],
    misshapen: list[str],
    head: set[str],
) -> None:
    shapes = [
        f"{key} is {tuple(state[key].shape)} there and {tuple(own[key].shape)} here"
        for key in misshapen
        if key not in head
    ]
    complaints = [
        f"{word} {_some(keys)}"
        for word, keys in (
            ("lacks", [key for key in missing if key not in head]),
            ("has unknown", [key for key in unexpected if key not in head]),
            ("misshapen:", shapes),
        )
        if keys
    ]
    if complaints:
        raise CheckpointError(
            where,
            "belongs to another architecture: " + "; ".join(complaints),
            "Choose the variant, image size and number of classes that the file was made with, or another file"
            " (a head for other classes may be dropped with allow_head_change, position tables of another image size"
            " resampled with allow_resize).",
        )


def _some(keys: list[str] | tuple[str, ...]) -> str:
    rest = len(keys) - SHOWN_KEYS
    return ", ".join(keys[:SHOWN_KEYS]) + (f" and {rest} more" if rest > 0 else "")


def _name(path: Path, where: str) -> str:
    return f"{where}: {path}" if where else str(path)
