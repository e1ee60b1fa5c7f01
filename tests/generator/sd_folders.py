# SPDX-License-Identifier: Apache-2.0
"""Folders in Stable Diffusion's format made on the spot: tiny ones with random weights, full-size ones without any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_pndm import PNDMScheduler
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

START, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# As published with Stable Diffusion 1.5.
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
UNET_15: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
VAE_15: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


def make_tiny_folder(folder: Path, seed: int = 0, controlnet_channels: int | None = None) -> Path:
    """Write every part in its true format: 4 pixels per latent position, two UNet levels, a tokenizer of 54 words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = _tiny_unet()
        unet.save_pretrained(folder / "unet")
        _tiny_vae().save_pretrained(folder / "vae")
        _write_text_encoder(folder / "text_encoder")
        if controlnet_channels is not None:
            widths = (16, 32, 64)
            branch = ControlNetModel.from_unet(
                unet, conditioning_channels=controlnet_channels, conditioning_embedding_out_channels=widths
            )
            torch.nn.init.normal_(branch.controlnet_mid_block.weight, std=0.1)
            branch.save_pretrained(folder / "controlnet")
    PNDMScheduler(**NOISE).save_pretrained(folder / "scheduler")
    _write_tokenizer(folder / "tokenizer")
    return folder


def make_full_size_folder(folder: Path) -> Path:
    """Write the configurations of Stable Diffusion 1.5; no weights, so only the meta device can read it."""
    with torch.device("meta"):
        UNet2DConditionModel(**UNET_15).save_config(folder / "unet")
        AutoencoderKL(**VAE_15).save_config(folder / "vae")
    CLIPTextConfig(hidden_size=768, max_position_embeddings=77).save_pretrained(folder / "text_encoder")
    PNDMScheduler(**NOISE).save_pretrained(folder / "scheduler")
    _write_tokenizer(folder / "tokenizer")
    return folder


def _tiny_unet() -> UNet2DConditionModel:
    network: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    return network


def _tiny_vae() -> AutoencoderKL:
    network: AutoencoderKL = AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    return network


def _write_text_encoder(folder: Path) -> None:
    """Write the weights under the names of the published file, buffer of positions included."""
    form = CLIPTextConfig(
        vocab_size=2 * len(LETTERS) + 2,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=2 * len(LETTERS),
        eos_token_id=2 * len(LETTERS) + 1,
    )
    form.save_pretrained(folder)
    weights = {f"text_model.{name}": tensor for name, tensor in CLIPTextModel(form).state_dict().items()}
    weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _write_tokenizer(folder: Path) -> None:
    """Write CLIP's vocabulary and merges: every letter within a word and at its end, and nothing merged."""
    folder.mkdir(parents=True)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), START, END]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", **special}))
