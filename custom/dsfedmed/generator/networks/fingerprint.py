# SPDX-License-Identifier: Apache-2.0
"""Hashes that tell whether two parties hold the same generator base: a Stable Diffusion folder, an embedded base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsfedmed import documents
from dsfedmed.errors import ConfigError, StoreError, worded
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.store.files import file_sha256, read_json, write_json

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "controlnet")
WEIGHTS = ("diffusion_pytorch_model", "model")
TEXTS = ("config.json", "scheduler_config.json", "vocab.json", "merges.txt")
WEIGHTS_DEPEND_ON = (
    "image_size",
    "channels",
    "unshuffle",
    "image_mean",
    "image_deviation",
    "block_out_channels",
    "layers_per_block",
    "attention_levels",
    "attention_head_channels",
    "norm_groups",
    "train_timesteps",
    "prediction_type",
    "zero_terminal_snr",
)
"""Fields of `GeneratorConfig` without which the weights of an embedded base mean something else: its shapes, what its
numbers stand for, and the noise that it takes away. How it was trained, and how it is sampled, are not among them."""


def base_fingerprint(config: GeneratorConfig) -> str:
    """Return a SHA-256 over what the weights of an embedded base depend on: equal ones can be exchanged."""
    values = config.to_dict()
    kept = {name: values[name] for name in WEIGHTS_DEPEND_ON}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def folder_sha256(folder: Path, cache: Path) -> str:
    """Return a SHA-256 over the weights and configurations that the generator uses, and over nothing else.

    Weights count to the last bit. Configurations count without keys that start with "_" (the version of the library
    that wrote them, where they were downloaded from), so that copies from two mirrors agree.

    Args:
        folder: the Stable Diffusion folder; it is only read.
        cache: file that remembers the hash for as long as no file there changes its size or time.
    """
    files = sorted(_used(folder))
    state = {str(file): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
    kept = _remembered(cache)
    if kept.get("files") == state:
        return str(kept["sha256"])
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.parent.name}/{file.name}:{_content(file)}\n".encode())
    write_json(cache, {"files": state, "sha256": sha.hexdigest()})
    return sha.hexdigest()


def _remembered(cache: Path) -> dict[str, Any]:
    """Return what the cache says; one that cannot be read is as good as none, since it is only a memory."""
    try:
        return dict(read_json(cache)) if cache.exists() else {}
    except StoreError:
        return {}


def _used(folder: Path) -> Iterator[Path]:
    for part in COMPONENTS:
        yield from (folder / part / name for name in TEXTS if (folder / part / name).is_file())
        for stem in WEIGHTS:
            # The same choice as when loading: half precision only where nothing else is there.
            both = (folder / part / f"{stem}.safetensors", folder / part / f"{stem}.fp16.safetensors")
            yield from [path for path in both if path.is_file()][:1]


def _content(file: Path) -> str:
    if file.suffix != ".json":
        return file_sha256(file)
    try:
        values = dict(documents.read_json(file))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(file, f"cannot be read ({worded(error)})", "Copy the folder again") from error
    kept = {key: value for key, value in values.items() if not key.startswith("_")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
