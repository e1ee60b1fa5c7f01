# SPDX-License-Identifier: Apache-2.0
"""From the keys of MobileSAM's and TinySAM's checkpoints to those of ``TinySam``.

Both projects publish one state dict: TinyViT under ``image_encoder.`` with the names of its own release, then
segment-anything's ``prompt_encoder.`` and ``mask_decoder.``. timm builds the same network under other names:

    patch_embed.seq.0, seq.2     patch_embed.conv1, conv2   (1 is the activation)
    layers.I.blocks              stages.I.blocks
    layers.I.downsample          stages.I+1.downsample      (patch merging ends a layer there, opens a stage here)
    *.c                          *.conv                     (of a convolution with its batch norm)

All else keeps its name. ``attention_biases`` (heads, offsets) carry over as they are: both number the offsets
(|dy|, |dx|) of a window's positions in the order in which a row-major walk over all pairs first meets them, which is
the window's own row-major order. A file that brings its index table is checked against ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dsfedmed.errors import CheckpointError
from dsfedmed.networks.tiny_sam import TinySam

MARK = "image_encoder.patch_embed.seq.0.c.weight"
DEAD = ("image_encoder.norm_head.", "image_encoder.head.")
INDEX_TABLE = ".attention_bias_idxs"
LAYER = re.compile(r"^image_encoder\.layers\.(\d+)\.(blocks|downsample)\.")
TRUNK = "image_encoder.trunk."


def is_reference_state(state: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict has the keys of MobileSAM and TinySAM."""
    return MARK in state


def from_reference(
    state: Mapping[str, Tensor], network: TinySam, where: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Rename a reference state dict.

    Args:
        state: as read from the file.
        network: the network it is meant for, whose index tables are compared.
        where: the file, for the error.

    Returns:
        The tensors under ``TinySam``'s keys, and the keys left out: the ImageNet head, which nothing runs, and index
        tables.

    Raises:
        CheckpointError: an index table numbers the offsets otherwise.
    """
    renamed: dict[str, Tensor] = {}
    left_out: list[str] = []
    for key, tensor in state.items():
        if key.endswith(INDEX_TABLE):
            _check_index_table(key, tensor, network, where)
        if key.endswith(INDEX_TABLE) or key.startswith(DEAD):
            left_out.append(key)
        else:
            renamed[rename(key)] = tensor
    return renamed, tuple(left_out)


def rename(key: str) -> str:
    """Return ``TinySam``'s name of a reference key."""
    if not key.startswith(("image_encoder.patch_embed.", "image_encoder.layers.")):
        return key
    key = key.replace("image_encoder.patch_embed.seq.0.", f"{TRUNK}patch_embed.conv1.")
    key = key.replace("image_encoder.patch_embed.seq.2.", f"{TRUNK}patch_embed.conv2.")
    return re.sub(r"\.c\.weight$", ".conv.weight", LAYER.sub(_stage, key))


def _stage(found: re.Match[str]) -> str:
    layer, part = int(found[1]), found[2]
    return f"{TRUNK}stages.{layer + 1 if part == 'downsample' else layer}.{part}."


def _check_index_table(key: str, table: Tensor, network: TinySam, where: str) -> None:
    ours = dict(network.named_buffers()).get(rename(key))
    if ours is None or not torch.equal(table.long(), ours.cpu()):
        raise CheckpointError(
            where,
            f"{key} numbers the offsets of a window otherwise than timm's TinyViT",
            "Take a checkpoint of TinySAM or of MobileSAM (TinyViT-5M, windows of 7, 7, 14 and 7)",
        )
