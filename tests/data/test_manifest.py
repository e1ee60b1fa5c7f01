# SPDX-License-Identifier: Apache-2.0
"""The manifest of a synthetic set: round trip, hash, and what is refused on arrival."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsfedmed.data.manifest import Manifest, Shard, set_sha256
from dsfedmed.errors import PayloadError

ORIGIN = ("site_a", "site_a", "site_b")
SHARDS = (
    Shard("synthetic-00000.safetensors", 100, "a" * 64, 2, 0),
    Shard("synthetic-00001.safetensors", 60, "b" * 64, 1, 2),
)


def document() -> dict[str, Any]:
    """A whole manifest of two shards, as it comes over the wire."""
    whole = Manifest(SHARDS, 3, 1, 16, ORIGIN, set_sha256(SHARDS, ORIGIN))
    return json.loads(json.dumps(whole.to_dict()))


def test_it_comes_back_over_the_wire() -> None:
    found = Manifest.from_dict(document())
    assert found == Manifest(SHARDS, 3, 1, 16, ORIGIN, set_sha256(SHARDS, ORIGIN))
    assert found.bytes == 160


def test_the_hash_covers_shards_in_order_counts_and_origins() -> None:
    first, second = SHARDS
    hashes = {
        set_sha256(SHARDS, ORIGIN),
        set_sha256((second, first), ORIGIN),
        set_sha256((Shard(first.name, 100, "c" * 64, 2, 0), second), ORIGIN),
        set_sha256((Shard(first.name, 100, first.sha256, 1, 0), second), ORIGIN),
        set_sha256(SHARDS, ("site_a", "site_b", "site_b")),
    }
    assert len(hashes) == 5
    assert set_sha256((Shard(first.name, 7, first.sha256, 2, 9), second), ORIGIN) in hashes, "places and bytes follow"


@pytest.mark.parametrize(
    "name",
    ["../a.safetensors", "/a.safetensors", "a/b.safetensors", ".a.safetensors", "a.pt", "c:a.safetensors", 3, ""],
)
def test_names_that_could_leave_the_folder_are_refused(name: Any) -> None:
    forged = document()
    forged["shards"][0]["name"] = name
    with pytest.raises(PayloadError, match="not a plain"):
        Manifest.from_dict(forged)


@pytest.mark.parametrize(
    ("change", "shard_change"),
    [
        ({"count": 11}, {}),
        ({"origin": ["a"]}, {}),
        ({"origin": [1] * 10}, {}),
        ({"sha256": "0" * 64}, {}),
        ({"shards": []}, {}),
        ({"channels": 17}, {}),
        ({"image_size": -6}, {}),
        ({"extra": 1}, {}),
        ({}, {"count": 0}),
        ({}, {"count": True}),
        ({}, {"bytes": -1}),
        ({}, {"first_index": 1}),
        ({}, {"sha256": "x"}),
        ({}, {"name": "synthetic-00001.safetensors"}),
        ({}, {"path": "/"}),
    ],
)
def test_manifests_that_do_not_add_up_are_refused(change: dict[str, Any], shard_change: dict[str, Any]) -> None:
    forged = document()
    forged["shards"][0].update(shard_change)
    forged.update(change)
    with pytest.raises(PayloadError, match="manifest"):
        Manifest.from_dict(forged)


@pytest.mark.parametrize(
    ("size", "words"), [(200_000, "at most 16384"), (10**90, "at most 16384"), (9000, "cannot hold")]
)
def test_sizes_that_the_bytes_cannot_hold_are_refused_before_memory_is_asked_for(size: int, words: str) -> None:
    """The set's hash covers the shards; the size decides how much memory reading them takes."""
    with pytest.raises(PayloadError, match=words):
        Manifest.from_dict({**document(), "image_size": size})
