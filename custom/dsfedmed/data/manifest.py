# SPDX-License-Identifier: Apache-2.0
"""The manifest that announces a synthetic set: its shards, their hashes and where each image came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dsfedmed.data.channels import usable_channels
from dsfedmed.errors import PayloadError
from dsfedmed.ranges import shortened

# Letters, digits, dot, dash and underscore only: no separator, no drive, nothing hidden.
SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors")
SHA256 = re.compile(r"[0-9a-f]{64}")
WHERE = "synthetic-set manifest"
MOST_PIXELS_A_SIDE = 2**14
LEAST_BYTES = 1 / 1032  # a value: DEFLATE packs no closer (RFC 1951: 258 bytes in two bits)
FIX = "Have the server seal the set again."


@dataclass(frozen=True)
class Shard:
    """One file of the set: ``count`` images, the first of which is number ``first_index`` of the set."""

    name: str
    bytes: int
    sha256: str
    count: int
    first_index: int


@dataclass(frozen=True)
class Manifest:
    """The whole set: shards in order, image count, channels, side length in pixels, and one origin per image."""

    shards: tuple[Shard, ...]
    count: int
    channels: int
    image_size: int
    origin: tuple[str, ...]
    sha256: str

    @property
    def bytes(self) -> int:
        """Length of all shards together."""
        return sum(shard.bytes for shard in self.shards)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "shards": [asdict(shard) for shard in self.shards], "origin": list(self.origin)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Manifest:
        """Check a received manifest and return it; it decides which files a site writes, so nothing is taken on trust.

        Raises:
            PayloadError: when a key is missing or unknown, a name is no plain ``*.safetensors`` name or stands twice,
                or counts, indices and hashes do not fit together.
        """
        try:
            shards = tuple(Shard(**shard) for shard in document["shards"])
            fields = {**document, "shards": shards, "origin": tuple(document["origin"])}
            manifest = cls(**fields)
        except (KeyError, TypeError) as error:
            raise PayloadError(WHERE, f"its keys are not the known ones ({error})", FIX) from error
        problem = _problem(manifest)
        if problem:
            raise PayloadError(WHERE, problem, FIX)
        return manifest


def set_sha256(shards: Iterable[Shard], origin: Sequence[str]) -> str:
    """Return the hash of the whole set: of its shard hashes in order, counts and origins."""
    content = [[[shard.name, shard.sha256, shard.count] for shard in shards], list(origin)]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _problem(manifest: Manifest) -> str:
    """Return what is wrong with a manifest, or an empty string."""
    if not manifest.shards:
        return "it names no shards"
    first = 0
    for shard in manifest.shards:
        numbers = (shard.bytes, shard.count, shard.first_index)
        if not isinstance(shard.name, str) or not SHARD_NAME.fullmatch(shard.name):
            return f"shard name {shard.name!r} is not a plain .safetensors name"
        if not isinstance(shard.sha256, str) or not SHA256.fullmatch(shard.sha256):
            return f"{shard.name} has no SHA-256"
        if not all(_whole(number) for number in numbers) or shard.bytes < 1 or shard.count < 1:
            return f"{shard.name} has no usable counts"
        if shard.first_index != first:
            return f"{shard.name} starts at {shard.first_index} instead of {first}"
        first += shard.count
    if len({shard.name for shard in manifest.shards}) != len(manifest.shards):
        return "a shard name stands twice"
    if not _whole(manifest.image_size) or manifest.image_size < 1 or not usable_channels(manifest.channels):
        return "channels or image_size are not usable"
    if manifest.image_size > MOST_PIXELS_A_SIDE:
        found = shortened(manifest.image_size)
        return f"its images have {found} pixels a side (at most {MOST_PIXELS_A_SIDE})"
    if not all(isinstance(site, str) for site in manifest.origin):
        return "origins are not all names"
    if not first == manifest.count == len(manifest.origin):
        return f"the shards hold {first} images, the manifest says {manifest.count} with {len(manifest.origin)} origins"
    pixels = manifest.count * manifest.image_size**2
    if manifest.bytes < pixels * manifest.channels * LEAST_BYTES:
        return f"{manifest.bytes} bytes cannot hold {manifest.count} images of {manifest.image_size} pixels a side"
    if manifest.sha256 != set_sha256(manifest.shards, manifest.origin):
        return "its own hash does not fit its content"
    return ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
