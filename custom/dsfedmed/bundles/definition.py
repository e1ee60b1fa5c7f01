# SPDX-License-Identifier: Apache-2.0
"""A MONAI bundle as the one definition of a light network: network, loss, optimiser, transforms and inferer.

``BundleDefinition`` checks a bundle folder, lays a run's settings over its ``configs/train.json`` and builds single
parts of it. Sites and server build the same parts from the same files; ``sha256`` says whether they do.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dsfedmed.algorithms.ignored_pixels import ValidPixelLoss
from dsfedmed.bundles.components import Components
from dsfedmed.bundles.documents import CONFIGS, METADATA, TRAIN, check_documents, read_config
from dsfedmed.bundles.settings import check_settings, declared_settings, values_by_id
from dsfedmed.errors import ConfigError


class BundleDefinition:
    """The parts that a bundle folder defines.

    Args:
        folder: the bundle, with ``configs/train.json`` and ``configs/metadata.json``.
        settings: values by the names that the metadata declare ("num_classes", "learning_rate").
        also_allowed: classes and functions that the party accepts beyond `dsfedmed.bundles.allowed_classes`.
        sender: who says the settings, for errors; "": the bundle's folder is named.

    Raises:
        ConfigError: no or unreadable configuration, one that `dsfedmed.bundles.rules` do not allow, or a setting that
            is not declared or out of its range.
    """

    def __init__(
        self,
        folder: Path | str,
        settings: Mapping[str, object] | None = None,
        *,
        also_allowed: Collection[str] = (),
        sender: str = "",
    ) -> None:
        self.folder, self.also_allowed = Path(folder), tuple(also_allowed)
        document = check_documents(self.folder, self.also_allowed)[TRAIN]
        self.declared = declared_settings(read_config(self.folder / METADATA), self.folder / METADATA)
        self.settings = check_settings(self.declared, settings or {}, sender or f"settings of {self.folder.name}")
        laid = values_by_id(self.declared, self.settings)
        self.document = lay_values(document, laid, self.folder / TRAIN)

    @property
    def image_size(self) -> tuple[int, int]:
        """Network size (X, Y), in pixels."""
        width, height = self._value("image_size")
        return int(width), int(height)

    @property
    def in_channels(self) -> int:
        """Image channels, 1 to 16."""
        return int(self._value("in_channels"))

    @property
    def num_classes(self) -> int:
        """Foreground classes K."""
        return int(self._value("num_classes"))

    @property
    def nested(self) -> bool:
        """Whether a higher label implies the lower ones."""
        return bool(self._value("nested"))

    @property
    def sha256(self) -> str:
        """Hash of the configuration files, byte by byte, and of the settings."""
        digest = hashlib.sha256()
        for name in CONFIGS:
            path = self.folder / name
            content = path.read_bytes() if path.is_file() else b""
            digest.update(f"{name}:{len(content)}:".encode() + content)
        digest.update(json.dumps(self.settings, sort_keys=True).encode())
        return digest.hexdigest()

    def network(self, seed: int | None = None) -> nn.Module:
        """Build the network on the CPU: (N, in_channels, S, S) -> logits (N, K, S, S).

        ``seed`` draws its start weights without touching the global generator; None draws from the global one.
        """
        if seed is None:
            return cast(nn.Module, self._build("network_def"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cast(nn.Module, self._build("network_def"))

    def loss(self) -> nn.Module:
        """Build the supervised loss over (logits, channels), both (N, K, S, S), without the ignored pixels."""
        return ValidPixelLoss(cast(nn.Module, self._build("loss")))

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser over ``parameters``."""
        node = {key: value for key, value in self._referred("optimizer").items() if key != "params"}
        factory = self._build("optimizer", {**node, "_mode_": "callable"})
        return cast(torch.optim.Optimizer, factory(params=list(parameters)))

    def preprocessing(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Build the deterministic transform from paths to image (C, S, S) and label map (1, S, S)."""
        return cast("Callable[[dict[str, Any]], dict[str, Any]]", self._build("preprocessing"))

    def augmentation(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Build the random transform over "image", "label" and, where present, "soft"."""
        return cast("Callable[[dict[str, Any]], dict[str, Any]]", self._build("augmentation"))

    def inferer(self) -> Callable[..., torch.Tensor]:
        """Build the inferer, called with (images, network)."""
        return cast("Callable[..., torch.Tensor]", self._build("inferer"))

    def _value(self, key: str) -> Any:
        self._node(key)
        return Components(self.document, self.folder / TRAIN).build(key)

    def _referred(self, key: str) -> dict[str, Any]:
        """Return the definition of ``key``, or of the block that it refers to ("@optimizers::adam")."""
        node: Any = self._node(key)
        while isinstance(node, str) and node.startswith("@"):
            name = node
            node = self.document
            for part in name[1:].split("::"):
                node = _child(node, part)
        if not isinstance(node, dict):
            raise ConfigError(self.folder / TRAIN, f"'{key}' is not a definition", "Write it out, or refer to a block.")
        return node

    def _node(self, key: str) -> Any:
        if key not in self.document:
            raise ConfigError(self.folder / TRAIN, f"has no '{key}'", f"Add '{key}' to the bundle.")
        return self.document[key]

    def _build(self, key: str, node: Any | None = None) -> Any:
        """Instantiate the component ``key``, from ``node`` where its definition is changed first."""
        document = {**self.document, key: self._node(key) if node is None else node}
        return Components(document, self.folder / TRAIN).build(key)


def lay_values(document: dict[str, Any], values: Mapping[str, object], where: object) -> dict[str, Any]:
    """Return a copy of a configuration with the values of existing ids replaced.

    Raises:
        ConfigError: an id that the configuration does not have, so that the bundle contradicts itself.
    """
    result: dict[str, Any] = copy.deepcopy(document)
    for key, value in values.items():
        node: Any = result
        *parents, last = key.split("::")
        for name in parents:
            node = _child(node, name)
        if isinstance(node, list) and last.isdigit() and int(last) < len(node):
            node[int(last)] = value
        elif isinstance(node, dict) and last in node:
            node[last] = value
        else:
            fix = "Correct `sets` in the bundle's metadata."
            raise ConfigError(where, f"has no '{key}', which a setting is declared to set", fix)
    return result


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isdigit() and int(name) < len(node):
        return node[int(name)]
    return None
