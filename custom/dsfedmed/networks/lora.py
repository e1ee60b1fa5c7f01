# SPDX-License-Identifier: Apache-2.0
"""Low-rank adaptation of SAM's image encoder, by peft, merged back afterwards.

Hu et al., "LoRA", arXiv 2106.09685: a frozen layer W x becomes W x + (alpha / r) B A x with A (r, in) and B (out, r);
B starts at zero, so the adapted network starts as the network itself. For SAM as in SAMed (Zhang and Liu, arXiv
2304.13785): rank 4 in the attention of every encoder block. Deviation from SAMed: segment-anything holds query, key
and value in one layer ``qkv``, and that whole layer is adapted, at 4 C r parameters a block; SAMed adapts the query
and value rows separately, which also makes 4 C r. At ViT-B (C = 768, 12 blocks) that is 36,864 r, so 147,456 at r = 4.

Extension: with the target "stem" the convolutions of the patch embedding get a low-rank update too, A with the layer's
own window and r output channels, B of 1 x 1. A small encoder whose stem is several convolutions (`sam_variants`) learns
little about a new modality behind a frozen one; SAM's own stem is one convolution.

While adapted, the network's keys are peft's (``qkv.base_layer.weight``, ``qkv.lora_A.default.weight``). Merging adds
(alpha / r) B A to W and gives SAM's keys back, so that no file, cache or message knows that there was a LoRA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer, LoraModel
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.lora_targets import STEM, TARGETS
from dsfedmed.networks.promptless_sam import PromptlessSam

BLOCK = r"image_encoder\.blocks\.\d+\.(?:attn|mlp)\."
STEM_PREFIX = "image_encoder.patch_embed."
MARK = ".lora_"


@contextmanager
def lora(
    network: nn.Module, rank: int, alpha: float, targets: tuple[str, ...] = ("qkv",), seed: int = 0
) -> Iterator[nn.Module]:
    """Adapt the encoder's blocks inside the context; merge at its end, or take the adapters away after an error.

    Inside, only the LoRA parameters and what lies outside ``image_encoder.`` and ``prompt_encoder.`` require gradients.
    Outside, every parameter requires them as before.

    Args:
        network: a promptless SAM; changed in place.
        rank: r, at least 1.
        alpha: the update is scaled by alpha / r.
        targets: which layers, of ``TARGETS``.
        seed: of the start values of A; the global generator is left as it was.

    Raises:
        ConfigError: unknown targets, or the network has no such layer in its blocks.
    """
    before = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    adapted = _inject(network, rank, alpha, targets, seed)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_lora(name) or not name.startswith(("image_encoder.", "prompt_encoder.")))
    try:
        yield network
    except BaseException:
        adapted.unload()
        raise
    else:
        adapted.merge_and_unload()
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(before[name])


def add_lora(
    network: PromptlessSam, rank: int, alpha: float, targets: tuple[str, ...] = ("qkv",), seed: int = 0
) -> PromptlessSam:
    """Adapt the encoder's blocks in place, for good; only the low-rank updates and the mask decoder still learn.

    Args and raises as `lora`. `merge_lora` gives the network without adapters again.
    """
    _inject(network, rank, alpha, targets, seed)
    for name, parameter in network.named_parameters():
        idle = name.startswith(network.idle_prefixes)
        parameter.requires_grad_(is_lora(name) or (name.startswith("mask_decoder.") and not idle))
    return network


def merge_lora(network: PromptlessSam) -> PromptlessSam:
    """Add the updates of `add_lora` to the weights, in place; keys are SAM's again and every parameter may learn."""
    for name, module in list(network.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()  # type: ignore[operator]
            network.set_submodule(name, module.get_base_layer())
    return network.requires_grad_(True)


def _inject(network: nn.Module, rank: int, alpha: float, targets: tuple[str, ...], seed: int) -> LoraModel:
    unknown = [name for name in targets if name not in TARGETS]
    if unknown or not targets:
        raise ConfigError(
            "lora_targets", f"{', '.join(unknown) or 'nothing'} is not a target", f"Use {', '.join(TARGETS)}"
        )
    pattern = "|".join([BLOCK + f"(?:{'|'.join(targets)})", *(_stem_layers(network) if STEM in targets else ())])
    if not any(re.fullmatch(pattern, name) for name, _ in network.named_modules()):
        raise ConfigError("lora_targets", f"no block has {', '.join(targets)}", "Tune the decoder only, or in full")
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=pattern, lora_dropout=0.0, bias="none")  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoraModel(network, config, "default")


def _stem_layers(network: nn.Module) -> list[str]:
    """Return a pattern for each convolution of the patch embedding."""
    layers = network.named_modules()
    return [re.escape(name) for name, layer in layers if name.startswith(STEM_PREFIX) and isinstance(layer, nn.Conv2d)]


def is_lora(name: str) -> bool:
    """Say whether a parameter's name is one of an adapter."""
    return MARK in name
