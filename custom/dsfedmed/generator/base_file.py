# SPDX-License-Identifier: Apache-2.0
"""The embedded base as a file: its weights, and what they were made for.

Everything but the weights stands in one entry of the safetensors header, as JSON: the format does not keep several
entries in order, and the same weights are to be the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dsfedmed.documents import parse_json
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.generator.networks.fingerprint import WEIGHTS_DEPEND_ON, base_fingerprint
from dsfedmed.store.files import write_atomic
from dsfedmed.version import VERSION

ENTRY = "generator_base"
MAKE_ONE = "Make one with `dsfedmed pretrain-generator`"


@dataclass(frozen=True)
class BaseHeader:
    """What a base file says of itself.

    Attributes:
        generator_model: the `GeneratorConfig` it was trained with, as JSON values.
        fingerprint: hash of those of its values that the weights depend on.
        version: of the program that wrote it.
    """

    generator_model: dict[str, Any]
    fingerprint: str
    version: str


def write_base(path: Path, weights: Mapping[str, Tensor], config: GeneratorConfig) -> None:
    """Write the weights of an embedded base (a state dict) and its configuration; the same input gives the same bytes.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    header = {"generator_model": config.to_dict(), "fingerprint": base_fingerprint(config), "version": VERSION}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    entry = {ENTRY: json.dumps(header, sort_keys=True)}
    write_atomic(path, lambda partial: save_file(plain, str(partial), metadata=entry))


def read_header(path: Path) -> BaseHeader:
    """Return what the file says of itself; its weights are not read.

    Raises:
        ConfigError: there is no such file, or `write_base` has not written it.
    """
    return _read(path, weights=False)[0]


def read_base(path: Path, config: GeneratorConfig) -> Weights:
    """Return the weights, float32, of a base file that fits ``config``.

    Raises:
        ConfigError: as `read_header` and `require_fit`, or the tensors are not those of such a base, or not finite.
    """
    header, tensors = _read(path, weights=True)
    require_fit(header, config, path)
    try:
        return check_tensors(tensors, specs_of(build_base(config).state_dict(), torch.float32), str(path))
    except PayloadError as error:
        raise ConfigError(path, error.reason, MAKE_ONE) from error


def require_fit(header: BaseHeader, config: GeneratorConfig, path: Path) -> None:
    """Raise ConfigError, naming what differs, unless the weights were made for a generator like ``config``."""
    made_for, wanted = header.generator_model, config.to_dict()
    differ = [name for name in WEIGHTS_DEPEND_ON if made_for.get(name) != wanted[name]]
    if differ:
        said = ", ".join(f"{name} {made_for.get(name)} (the run has {wanted[name]})" for name in differ)
        fix = "Train a base with the run's values (`dsfedmed pretrain-generator`), or give the run the file's"
        raise ConfigError(path, f"is a base for {said}", fix)
    if header.fingerprint != base_fingerprint(config):
        raise ConfigError(path, f"is a base of another kind, made by version {header.version}", MAKE_ONE)


def _read(path: Path, weights: bool) -> tuple[BaseHeader, Weights]:
    if not path.is_file():
        raise ConfigError(path, "there is no such file", f"Correct the path. {MAKE_ONE}")
    try:
        with safe_open(str(path), framework="pt") as file:
            entry = parse_json((file.metadata() or {})[ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights else {}  # noqa: SIM118
        return BaseHeader(dict(entry["generator_model"]), str(entry["fingerprint"]), str(entry["version"])), tensors
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(path, "is not a file of a generator base", MAKE_ONE) from error
