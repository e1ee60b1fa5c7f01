# SPDX-License-Identifier: Apache-2.0
"""Stable Diffusion as the generator base, from a folder in diffusers format that the user has (SD 1.5 and its kin).

Nothing is downloaded and nothing is written there. Weights are read from safetensors only. The text encoder is run
once, on the configured prompt, and let go: no hospital's image has a text.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from dsfedmed.documents import read_json
from dsfedmed.errors import ConfigError, worded
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import DTYPES, GeneratorBase
from dsfedmed.generator.networks.codec import Autoencoder
from dsfedmed.generator.networks.whole_networks import read_network, read_whole

PARTS = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "vocab.json",
    "scheduler": "scheduler_config.json",
}
# Channels of the mask embedding as ControlNet has them, for eight pixels per latent position.
MASK_WIDTHS = (16, 32, 96, 256)


def stable_diffusion_base(folder: Path, config: GeneratorConfig, device: str | torch.device = "cpu") -> GeneratorBase:
    """Read the folder and return its frozen networks in ``config.dtype`` on ``device``.

    On the device "meta" only shapes are read, not weights. The loss of a fit is ControlNet's, the plain squared error
    of what the network predicts. A sub-folder ``controlnet``, if there is one, is what branches start from.

    Raises:
        ConfigError: a sub-folder is missing or unreadable, or the parts do not fit each other or ``config``.
    """
    _check_folder(folder)
    dtype, place = DTYPES[config.dtype], torch.device(device)
    unet: UNet2DConditionModel = read_network(UNet2DConditionModel, folder / "unet", dtype, place)
    vae: AutoencoderKL = read_network(AutoencoderKL, folder / "vae", dtype, place)
    schedule = _schedule(folder)
    context = _context(folder, config.prompt, place)
    generator_base = GeneratorBase(
        unet=unet.requires_grad_(False).eval(),
        codec=Autoencoder(vae, config.channels),
        context=context,
        schedule=schedule,
        loss_weights=torch.ones(int(schedule.config["num_train_timesteps"])),
        mask_widths=_mask_widths(len(vae.config["block_out_channels"]) - 1),
        dtype=dtype,
        controlnet=folder / "controlnet" if (folder / "controlnet" / "config.json").exists() else None,
    )
    _check_parts(folder, generator_base, vae, config)
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return generator_base


def _check_folder(folder: Path) -> None:
    for name, file in PARTS.items():
        if not (folder / name / file).is_file():
            raise ConfigError(
                folder / name / file,
                f"the Stable Diffusion folder has no {name}/{file}",
                f"Name a folder in diffusers format with {', '.join(PARTS)}, such as Stable Diffusion 1.5 (licence "
                "CreativeML OpenRAIL-M), as `generator: <path>` in local/dsfedmed.yaml, or use base: embedded",
            )


def _schedule(folder: Path) -> DDPMScheduler:
    """Read the noise that the network was trained with; clipping to [-1, 1] is for pixels, not for latents."""
    path = folder / "scheduler" / PARTS["scheduler"]
    try:
        described = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(path, f"cannot be read ({worded(error)})", "Copy the folder again") from error
    known = {key: value for key, value in described.items() if key in DDPMScheduler().config and key[0] != "_"}
    schedule: DDPMScheduler = DDPMScheduler(**{**known, "clip_sample": False, "timestep_spacing": "trailing"})
    return schedule


@torch.no_grad()
def _context(folder: Path, prompt: str, place: torch.device) -> Tensor:
    """Return the text encoder's last hidden states of ``prompt``: (1, 77, 768) for Stable Diffusion 1.5, float32."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    if place.type == "meta":
        form = CLIPTextConfig.from_pretrained(folder / "text_encoder", local_files_only=True)
        return torch.empty(1, form.max_position_embeddings, form.hidden_size, device=place)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = read_whole(CLIPTextModel, folder / "text_encoder", dtype=torch.float32)
    length = encoder.config.max_position_embeddings
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    states: Tensor = encoder.eval()(tokens.input_ids).last_hidden_state
    return states.to(place)


def _mask_widths(halvings: int) -> tuple[int, ...]:
    if halvings + 1 == len(MASK_WIDTHS):
        return MASK_WIDTHS
    return tuple(16 * 2**level for level in range(halvings + 1))


def _check_parts(folder: Path, generator_base: GeneratorBase, vae: AutoencoderKL, config: GeneratorConfig) -> None:
    unet = generator_base.unet.config
    fitting = (
        (unet["in_channels"] == vae.config["latent_channels"], "the UNet takes other latents than the VAE makes"),
        (
            unet["cross_attention_dim"] == generator_base.context.shape[2],
            "the UNet reads another text encoder's states",
        ),
        (generator_base.prediction_type != "sample", "the scheduler's prediction_type is 'sample'"),
        (unet["addition_embed_type"] is None, "the UNet wants more than a text and a time (as in SDXL)"),
        (unet["time_cond_proj_dim"] is None, "the UNet wants the guidance as an input (fuse an LCM-LoRA instead)"),
    )
    for good, reason in fitting:
        if not good:
            raise ConfigError(folder, reason, "Use a text-to-image Stable Diffusion 1.x folder as it was published.")
    step = generator_base.codec.factor * 2 ** (len(unet["block_out_channels"]) - 1)
    if config.image_size % step:
        raise ConfigError(
            "generator_model.image_size",
            f"{config.image_size} does not pass through the VAE and the UNet",
            f"Give a multiple of {step}.",
        )
