# SPDX-License-Identifier: Apache-2.0
"""What a bundle's configuration may name and compute.

A MONAI configuration is code: ``_target_`` calls any importable function, ``$`` evaluates any expression, ``%`` copies
from any file. A party therefore opens a bundle only if its files say nothing beyond these rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from dsfedmed.bundles.allowed_classes import require_allowed
from dsfedmed.bundles.expressions import parse_expression
from dsfedmed.bundles.setting_values import shown
from dsfedmed.errors import ConfigError

KEY = re.compile(r"\w+")
SPECIAL = re.compile(r"_\w+_")
REFERENCE = re.compile(r"[@%]\w+(::\w+)*")
ELSEWHERE = re.compile(r"/|~|\\|[A-Za-z]:|.*://|(.*/)?\.\.(/|$)", re.DOTALL)
DEEPEST = 32
FIXED: dict[str, dict[str, Any]] = {
    "dsfedmed.bundles.saving.SaveMasksd": {"output_dir": "@output_dir", "data_root_dir": "@dataset_dir"},
    "dsfedmed.networks.any_size.AnySizeFlexibleUNet": {"pretrained": False},
    "monai.handlers.CheckpointSaver": {"save_dir": "@ckpt_dir"},
    "monai.handlers.MetricsSaver": {"save_dir": "@output_dir"},
    "monai.networks.nets.FlexibleUNet": {"pretrained": False},
    "monai.transforms.SaveImaged": {"output_dir": "@output_dir", "data_root_dir": "@dataset_dir"},
}
"""Arguments that must stand there like this: who runs a bundle says where it writes, and nothing is downloaded."""
ONLY = {
    "monai.transforms.SaveImaged": {
        "_target_", "_desc_", "keys", "output_dir", "output_ext", "output_postfix", "output_dtype", "resample", "scale",
        "separate_folder", "print_log", "data_root_dir",
    },
}  # fmt: skip
"""All arguments that may stand there: SaveImaged would look its ``writer`` up by any dotted name."""
FIX = "Take it out, or write the setting out."


def check_document(document: Any, where: object, also_allowed: Collection[str] = ()) -> None:
    """Refuse a configuration with anything beyond the rules.

    Args:
        document: what the file holds, or several files laid over each other.
        where: the file, for the error.
        also_allowed: classes and functions that the party accepts beyond the list.

    Raises:
        ConfigError: naming ``where``, the configuration id and what it holds.
    """
    _Rules(where, also_allowed).check(document, "")
    root = document.get("bundle_root", ".") if isinstance(document, dict) else "."
    if root != ".":
        raise ConfigError(where, f"bundle_root is {shown(root)}", "Write '.'; who runs the bundle says where it lies.")


def check_metadata(metadata: Any, where: object) -> None:
    """Refuse metadata that MONAI would compute: they are data.

    Raises:
        ConfigError: naming ``where``, the key and what it holds.
    """
    _PlainData(where).check(metadata, "")


class _PlainData:
    """Walks a document; every rule raises ``ConfigError``."""

    def __init__(self, where: object) -> None:
        self.where = where

    def check(self, node: Any, path: str) -> None:
        if path.count("::") >= DEEPEST:
            raise ConfigError(self.where, f"'{path[:60]}...' lies deeper than {DEEPEST} levels", FIX)
        if isinstance(node, dict):
            self.mapping(node, path)
            for key, value in node.items():
                self.check(value, f"{path}::{key}" if path else str(key))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                self.check(value, f"{path}::{index}")
        elif isinstance(node, str):
            self.text(node, path)

    def mapping(self, node: Mapping[str, Any], path: str) -> None:
        for key in node:
            if SPECIAL.fullmatch(key):
                raise ConfigError(self.where, f"'{path}' has the key {shown(key)}", FIX)

    def text(self, value: str, path: str) -> None:
        if value.startswith(("$", "@", "%")):
            raise ConfigError(self.where, f"{path} is {shown(value)}; metadata compute nothing", FIX)


class _Rules(_PlainData):
    def __init__(self, where: object, also_allowed: Collection[str]) -> None:
        super().__init__(where)
        self.also_allowed = also_allowed

    def mapping(self, node: Mapping[str, Any], path: str) -> None:
        for key, value in node.items():
            if not KEY.fullmatch(key):
                raise ConfigError(self.where, f"'{path}' has the key {shown(key)}", "Write ids out as nested keys.")
            if SPECIAL.fullmatch(key):
                self.special(key, value, f"{path}::{key}")
        self.arguments(node, path)

    def arguments(self, node: Mapping[str, Any], path: str) -> None:
        target = str(node.get("_target_"))
        for argument, wanted in FIXED.get(target, {}).items():
            if node.get(argument) != wanted:
                found = shown(node.get(argument))
                raise ConfigError(self.where, f"{path}::{argument} is {found}", f"Write {wanted!r} there.")
        for argument in sorted(node.keys() - ONLY.get(target, node.keys())):
            raise ConfigError(self.where, f"{path} gives {target} the argument {shown(argument)}", FIX)

    def special(self, key: str, value: Any, path: str) -> None:
        """Judge MONAI's own keys: no debugger, no order of evaluation beside that of the references."""
        if key == "_target_":
            require_allowed(value, path, self.where, self.also_allowed)
        elif key == "_desc_":
            if not isinstance(value, str) or value.startswith(("$", "@", "%")):
                raise ConfigError(self.where, f"{path} is {shown(value)}", "A description is plain text.")
        elif not ((key == "_mode_" and value == "default") or (key == "_disabled_" and isinstance(value, bool))):
            raise ConfigError(self.where, f"{path} is {shown(value)}, which no bundle needs", FIX)

    def text(self, value: str, path: str) -> None:
        if path.endswith(("::_target_", "::_desc_")):
            return
        if value.startswith("$"):
            self.expression(value, path)
        elif value.startswith(("@", "%")):
            if not REFERENCE.fullmatch(value):
                reason = f"{path} is {shown(value)}, which refers to something else than this configuration"
                raise ConfigError(self.where, reason, FIX)
        elif ELSEWHERE.match(value):
            raise ConfigError(self.where, f"{path} is {shown(value)}, outside the bundle", FIX)

    def expression(self, value: str, path: str) -> None:
        found = parse_expression(value[1:])
        if found is None:
            raise ConfigError(self.where, f"{path} is {shown(value)}, which is not a plain expression", FIX)
        if not found.is_allowed():
            raise ConfigError(self.where, f"{path} is {shown(value)}, beyond what a bundle may compute", FIX)
