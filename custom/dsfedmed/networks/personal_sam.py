# SPDX-License-Identifier: Apache-2.0
"""A site's personal branch of pFedSAM as one network, for the bundle that the site keeps.

The low-rank updates stay beside the layers they adapt: with a mixture of experts between A and B
(`dsfedmed.networks.local_experts`) there is no one matrix that could be merged into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsfedmed.networks.local_experts import personal_branch
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam


def build_personal_sam(
    variant: str,
    image_size: int,
    num_classes: int,
    *,
    rank: int,
    alpha: float,
    layers: Sequence[str],
    experts: int,
    top_k: int,
    in_channels: int = 3,
    normalise: bool = False,
) -> PromptlessSam:
    """Build a promptless SAM with low-rank updates and local experts, with random weights.

    Only bundles call it: each argument is a setting by name in their configuration, hence the long list.

    Args:
        variant: as `build_promptless_sam`.
        image_size: side of the square encoder input, in pixels.
        num_classes: K >= 1.
        rank: r of the low-rank updates.
        alpha: they are scaled by alpha / r.
        layers: which layers they adapt, of `dsfedmed.networks.lora_targets.TARGETS`.
        experts: of each adapted linear layer.
        top_k: experts that are run for a map.
        in_channels: of the images, 1 to 16.
        normalise: subtract SAM's pixel mean inside the network.

    Raises:
        ConfigError: unknown variant, size or layer.
    """
    shared = build_promptless_sam(variant, image_size, num_classes, in_channels=in_channels, normalise=normalise)
    return personal_branch(add_lora(shared, rank, alpha, tuple(layers)), experts, top_k)


def personal_settings(low_rank: dict[str, Any], experts: int, top_k: int) -> dict[str, Any]:
    """Return the settings that make the bundle of the promptless SAM hold such a network.

    Args:
        low_rank: rank, alpha and layers of the updates.
        experts: of each adapted linear layer.
        top_k: experts that are run for a map.
    """
    return {"network": "personal", **low_rank, "experts": experts, "top_k": top_k}
