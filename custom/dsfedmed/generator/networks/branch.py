# SPDX-License-Identifier: Apache-2.0
"""A hospital's branch: a ControlNet beside the frozen generator base, in full or with low-rank adapters.

In full (Zhang et al., arXiv 2302.05543) everything is trained: a copy of the generator base's encoder, the embedding of
the mask, and output convolutions that start at zero, so that an unfitted branch changes nothing.

With ``lora_rank`` r the copied encoder is frozen and learns through adapters, W + B A with B zero at the start (Hu et
al., arXiv 2106.09685): on the attention projections, and on the 3x3 convolutions of the residual blocks unless told
otherwise. The mask embedding is trained in full, for it has nothing to start from. The output convolutions are zero
at the start and, with ``zero_rank``, become B A as well; at Stable Diffusion 1.5 they would be 11.5 of the branch's
13 million numbers otherwise. Deviation: no ControlNet of the paper is low-rank; this one is what a hospital can send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.whole_networks import read_network

ATTENTION = r".*\.(to_q|to_k|to_v|to_out\.0)"
CONVOLUTIONS = r".*\.resnets\.\d+\.conv[12]"
OUTPUTS = r"controlnet_(down_blocks\.\d+|mid_block)"
# Trained beside the adapters: the mask embedding, and the outputs' biases (or the outputs themselves).
IN_FULL = re.compile(rf"controlnet_cond_embedding\..*|{OUTPUTS}\.(base_layer\.bias|weight|bias)")


def build_branch(generator_base: GeneratorBase, config: GeneratorConfig, seed: int = 0) -> ControlNetModel:
    """Return a branch for ``generator_base`` on the CPU (or without storage, for a generator base on the meta device).

    The mask embedding and the adapters are drawn from ``seed``. Masks (N, K, S, S) come in at image size; the embedding
    halves them once per factor of two between pixels and latents. Parameters that stay as they are need no gradients.
    """
    with torch.random.fork_rng(devices=[]), _place(generator_base):
        torch.manual_seed(seed)
        branch = _start(generator_base, config)
        if config.lora_rank:
            _adapt(branch, config, generator_base.dtype)
    if config.gradient_checkpointing:
        branch.enable_gradient_checkpointing()
    return branch


def branch_state(branch: ControlNetModel) -> dict[str, Tensor]:
    """Return what is trained in ``branch`` by name: all that a hospital sends, and all that differs from another's."""
    return {name: parameter.data for name, parameter in branch.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def load_branch_state(branch: ControlNetModel, state: Mapping[str, Tensor], where: str = "branch") -> None:
    """Put trained tensors into ``branch``, in place; so one network serves all hospitals in turn.

    Raises:
        CheckpointError: names or shapes are not those of the branch.
    """
    own = branch_state(branch)
    differing = sorted(own.keys() ^ state.keys()) or [n for n in own if own[n].shape != state[n].shape]
    if differing:
        raise CheckpointError(
            where,
            f"is not a branch of this configuration ({len(differing)} tensors differ, such as {differing[0]})",
            "Use the generator base and the lora_rank and zero_rank that it was fitted with.",
        )
    for name, tensor in state.items():
        own[name].copy_(tensor)


def _place(generator_base: GeneratorBase) -> torch.device:
    return torch.device("meta" if generator_base.device.type == "meta" else "cpu")


def _start(generator_base: GeneratorBase, config: GeneratorConfig) -> ControlNetModel:
    if generator_base.controlnet is not None:
        return _pretrained(generator_base.controlnet, generator_base, config)
    branch: ControlNetModel = ControlNetModel.from_unet(
        generator_base.unet,
        conditioning_channels=config.num_classes,
        conditioning_embedding_out_channels=generator_base.mask_widths,
    )
    return branch


def _pretrained(folder: Path, generator_base: GeneratorBase, config: GeneratorConfig) -> ControlNetModel:
    """Read a ControlNet; where its conditions have another number of channels, their first convolution starts anew."""
    branch: ControlNetModel = read_network(ControlNetModel, folder, torch.float32, _place(generator_base))
    widths = tuple(branch.config["conditioning_embedding_out_channels"])
    if branch.config["cross_attention_dim"] != generator_base.unet.config["cross_attention_dim"] or len(widths) != len(
        generator_base.mask_widths
    ):
        raise ConfigError(folder, "does not fit the UNet beside it", "Use a ControlNet of that model.")
    embedding = branch.controlnet_cond_embedding
    if embedding.conv_in.in_channels != config.num_classes:
        embedding.conv_in = nn.Conv2d(config.num_classes, widths[0], kernel_size=3, padding=1)
    return branch


def _adapt(branch: ControlNetModel, config: GeneratorConfig, dtype: torch.dtype) -> None:
    """Freeze ``branch`` in ``dtype``, lay adapters over it and free what is trained in full."""
    wanted = {ATTENTION: True, CONVOLUTIONS: config.lora_convolutions, OUTPUTS: config.zero_rank > 0}
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_rank,
        target_modules="|".join(f"(?:{pattern})" for pattern, is_wanted in wanted.items() if is_wanted),
        rank_pattern={OUTPUTS: config.zero_rank} if config.zero_rank else {},
        alpha_pattern={OUTPUTS: config.zero_rank} if config.zero_rank else {},
    )
    inject_adapter_in_model(lora, branch)
    for name, parameter in branch.named_parameters():
        trained = ".lora_" in name or IN_FULL.fullmatch(name) is not None
        parameter.requires_grad_(trained)
        if not trained:
            parameter.data = parameter.data.to(dtype)
