# SPDX-License-Identifier: Apache-2.0
"""The configuration files of a bundle: read them, and check them once, before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from monai.bundle import ConfigParser

from dsfedmed.bundles.rules import check_document, check_metadata
from dsfedmed.documents import parse_json, read_bytes
from dsfedmed.errors import ConfigError

TRAIN, INFERENCE = "configs/train.json", "configs/inference.json"
EVALUATE, METADATA = "configs/evaluate.json", "configs/metadata.json"
CONFIGS = (TRAIN, INFERENCE, EVALUATE, METADATA)
LAID_KEY = re.compile(r"\w+(::\w+)*")


def check_documents(folder: Path, also_allowed: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Check every configuration file of a bundle against the rules, and return what they hold, by name.

    ``evaluate.json`` is checked as MONAI reads it, laid over ``train.json``.

    Args:
        folder: the bundle.
        also_allowed: classes and functions that the party accepts beyond the list.

    Raises:
        ConfigError: no metadata, neither of the main configurations, or the first thing that is not allowed.
    """
    main = TRAIN if (folder / TRAIN).is_file() or not (folder / INFERENCE).is_file() else INFERENCE
    present = {name for name in CONFIGS if (folder / name).is_file()} | {main, METADATA}
    documents = {name: read_config(folder / name) for name in CONFIGS if name in present}
    check_metadata(documents[METADATA], folder / METADATA)
    for name in (name for name in (TRAIN, INFERENCE) if name in documents):
        check_document(documents[name], folder / name, also_allowed)
    if EVALUATE in documents:
        check_document(_laid_over(folder, documents), folder / EVALUATE, also_allowed)
    return documents


def read_config(path: Path) -> dict[str, Any]:
    """Read one JSON configuration.

    Raises:
        ConfigError: missing, no JSON object, or with a number that is not finite.
    """
    try:
        document = parse_json(read_bytes(path), constant=_refuse)
    except OSError as error:
        raise ConfigError(path, f"cannot be read ({error.strerror})", "Point to a MONAI bundle's folder.") from error
    except ValueError as error:
        raise ConfigError(path, f"is not JSON ({error})", "Correct the file.") from error
    if not isinstance(document, dict):
        raise ConfigError(path, "is not a JSON object", "Correct the file.")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")


def _laid_over(folder: Path, documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ``evaluate.json`` laid over ``train.json``, whose keys may be ids there ("validate::dataset")."""
    for key in documents[EVALUATE]:
        if not LAID_KEY.fullmatch(key):
            raise ConfigError(folder / EVALUATE, f"has the key '{key[:60]}'", "Write an id, with '::' between keys.")
    files = [str(folder / name) for name in (TRAIN, EVALUATE) if name in documents]
    try:
        laid: dict[str, Any] = ConfigParser.load_config_files(files)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(folder / EVALUATE, f"does not fit train.json ({error})", "Correct the file.") from error
    return laid
