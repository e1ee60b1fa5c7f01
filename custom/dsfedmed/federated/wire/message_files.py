# SPDX-License-Identifier: Apache-2.0
"""Raw messages as files: JSON beside safetensors, never pickled."""

from __future__ import annotations

import json
from pathlib import Path

from dsfedmed.errors import StoreError
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.files import read_json, read_tensors, write_json, write_tensors
from dsfedmed.store.json_types import Json
from dsfedmed.store.stage_store import config_hash

SEAL = "seal"


def write_message(stem: Path, message: Message, key: str = "") -> None:
    """Write a message as ``<stem>.safetensors`` and ``<stem>.json``; the JSON is removed first and written last.

    Args:
        stem: path without suffix.
        message: the message.
        key: what it answers, for `read_key`.
    """
    head = stem.with_name(f"{stem.name}.json")
    head.unlink(missing_ok=True)
    tensors = stem.with_name(f"{stem.name}.safetensors")
    if message.tensors:
        write_tensors(tensors, message.tensors)
    else:
        tensors.unlink(missing_ok=True)
    said: dict[str, Json] = {"info": message.info, "is_difference": message.is_difference, "key": key}
    write_json(head, {**said, SEAL: config_hash(json.loads(json.dumps(said)))})


def read_message(stem: Path) -> Message:
    """Read what `write_message` wrote.

    Raises:
        StoreError: the file holds something else.
    """
    head = _head(stem)
    tensors = stem.with_name(f"{stem.name}.safetensors")
    info = head["info"]
    if not isinstance(info, dict):
        raise StoreError(stem, "holds no message", "Remove the file")
    return Message(info, read_tensors(tensors) if tensors.exists() else {}, bool(head["is_difference"]))


def read_key(stem: Path) -> str | None:
    """Return the key that was written with a message; None where there is no message."""
    return str(_head(stem)["key"]) if stem.with_name(f"{stem.name}.json").exists() else None


def _head(stem: Path) -> dict[str, Json]:
    head = read_json(stem.with_name(f"{stem.name}.json"))
    if not isinstance(head, dict) or set(head) != {"info", "is_difference", "key", SEAL}:
        raise StoreError(stem, "holds no message", "Remove the file")
    if head.pop(SEAL) != config_hash(head):
        raise StoreError(stem, "does not match the hash it was written with", "Remove the file")
    return head
