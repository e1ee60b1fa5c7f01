# SPDX-License-Identifier: Apache-2.0
"""Networks of a folder in diffusers format, read whole or not at all, from safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dsfedmed.errors import ConfigError


def read_network(kind: Any, folder: Path, dtype: torch.dtype, place: torch.device) -> Any:
    """Return the diffusers network of class ``kind`` that ``folder`` describes, in ``dtype`` on ``place``.

    On the meta device its shapes are built and no weights are read. Weights in half precision (``*.fp16.safetensors``)
    are taken where there are no others.

    Raises:
        ConfigError: the weights cannot be read, or some are not there.
    """
    if place.type == "meta":
        with place:
            return nn.Module.to(kind.from_config(kind.load_config(folder)), dtype)
    half_only = not (folder / "diffusion_pytorch_model.safetensors").exists()
    network = read_whole(kind, folder, torch_dtype=dtype, variant="fp16" if half_only else None)
    return nn.Module.to(network, place)


def read_whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Call the library's ``from_pretrained``; what a file lacks would otherwise be random without a word."""
    try:
        network, info = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(folder, type(error).__name__) from error
    if info["missing_keys"]:
        raise _unreadable(folder, f"{len(info['missing_keys'])} tensors are not in the file")
    return network


def _unreadable(folder: Path, why: str) -> ConfigError:
    fix = "Put the safetensors file there that was published for this model in diffusers format, whole"
    return ConfigError(folder, f"the weights of {folder.name} cannot be read ({why})", fix)
