# SPDX-License-Identifier: Apache-2.0
"""FedMSA's adapters in SAM's image encoder (Liu et al., FedFMS, MICCAI 2024; after Wu et al., Medical SAM Adapter).

Two small bottlenecks a ViT block, everything else of the encoder frozen:

    x <- x + S(attn(norm1(x))),  S(a) = a + up(gelu(down(a)))          behind attention, with its own skip
    x <- x + mlp(n) + 1/2 M(n),  n = norm2(x), M(n) = up(gelu(down(n)))  beside the MLP, without

``down`` maps C to C / 4. At ViT-B an adapter has 295,872 parameters; the release holds three a block (the third, for
depth, is never run in 2D), the mask decoder and the prompt encoder: 36 x 295,872 + 4,058,345 + 6,220 = 14,715,957.

Extension: a small encoder whose stem is several convolutions (`sam_variants`) has one beside each of them as well, with
the layer's own window and stride and a fifth of its output channels (a quarter would be 16.1 % of the variant "wide",
and FedMSA is to send 16 % of SAM). A frozen stem holds such an encoder back; SAM's own is one convolution and stays.

Deviations: what is never run is not built or not trained (depth adapters, prompt encoder, quality head), which leaves
11.0 M; ``up`` starts at zero, so that the adapted network starts as SAM itself (the release starts it at random).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from dsfedmed.networks.promptless_sam import PromptlessSam

REDUCTION, STEM_REDUCTION = 4, 5
MLP_SCALE = 0.5


class Adapter(nn.Module):
    """A bottleneck over the last axis: (..., C) -> (..., C), zero at its start.

    Args:
        width: C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, width // REDUCTION), nn.Linear(width // REDUCTION, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return up(gelu(down(tokens)))."""
        return cast(Tensor, self.up(nn.functional.gelu(self.down(tokens))))


class WithAdapter(nn.Module):
    """A layer of a block and what its adapter adds: after the layer, on its output, or beside it, on its input."""

    def __init__(self, layer: nn.Module, width: int, beside: bool) -> None:
        super().__init__()
        self.layer, self.adapter, self.beside = layer, Adapter(width), beside

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the adapted layer's output, of the layer's own shape."""
        out = cast(Tensor, self.layer(tokens))
        added = MLP_SCALE * self.adapter(tokens) if self.beside else self.adapter(out)
        return out + cast(Tensor, added)


class WithConvolutionalAdapter(nn.Module):
    """A convolution of the stem and what its adapter adds beside it: (N, C, H, W) -> the layer's own shape."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        width = max(1, layer.out_channels // STEM_REDUCTION)
        geometry: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding")}
        down, up = nn.Conv2d(layer.in_channels, width, **geometry), nn.Conv2d(width, layer.out_channels, 1)
        for parameter in up.parameters():
            nn.init.zeros_(parameter)
        self.layer, self.adapter = layer, nn.Sequential(down, nn.GELU(), up)

    def forward(self, features: Tensor) -> Tensor:
        """Return layer(features) + up(gelu(down(features)))."""
        return cast(Tensor, self.layer(features) + self.adapter(features))


def add_adapters(network: PromptlessSam, seed: int = 0) -> PromptlessSam:
    """Put adapters into the encoder's blocks and stem, in place; only they and the mask decoder still learn.

    Args:
        network: a promptless SAM with its foundation loaded. Its encoder's keys change.
        seed: of the adapters' start values; the global generator is left as it was.
    """
    network.requires_grad_(False)
    network.mask_decoder.requires_grad_(True)
    for name, parameter in network.named_parameters():
        if name.startswith(network.idle_prefixes):
            parameter.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for block in network.image_encoder.blocks:
            width = block.norm1.normalized_shape[0]
            block.attn = WithAdapter(block.attn, width, beside=False)
            block.mlp = WithAdapter(block.mlp, width, beside=True)
        _adapt_stem(network.image_encoder.patch_embed)
    return network


def _adapt_stem(stem: nn.Module) -> None:
    """Put an adapter beside every convolution of a stem of several; SAM's own single one is left alone."""
    layers = [(name, layer) for name, layer in stem.named_modules() if isinstance(layer, nn.Conv2d)]
    for name, layer in layers if len(layers) > 1 else ():
        stem.set_submodule(name, WithConvolutionalAdapter(layer))
