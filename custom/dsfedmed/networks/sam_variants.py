# SPDX-License-Identifier: Apache-2.0
"""Sizes of the promptless SAM and the builder that puts segment-anything's parts together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, TwoWayTransformer
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.promptless_sam import PromptlessMaskDecoder, PromptlessSam


@dataclass(frozen=True)
class SamVariant:
    """Widths and depths of one variant.

    Attributes:
        embed_dim: width of the ViT's tokens.
        depth: number of ViT blocks.
        num_heads: attention heads of a ViT block.
        global_attention: blocks with attention over the whole image; the others attend inside windows.
        window_size: side of a window, in tokens.
        prompt_dim: width E of the image embedding and of the decoder.
        grid: tokens along one side; None: ``patch_size`` is fixed and the grid follows the image.
        patch_size: side of a patch, in pixels; None: ``grid`` is fixed and the patch follows the image.
        relative_position: decomposed relative position embeddings in the ViT.
        mlp_dim: width of the decoder's transformer MLP.
        quality_dim: width of the quality (IoU) head.
        decoder_heads: attention heads of the decoder.
        mask_in_chans: width of the (unused) mask prompt stem.
    """

    embed_dim: int
    depth: int
    num_heads: int
    global_attention: tuple[int, ...]
    window_size: int = 14
    prompt_dim: int = 256
    grid: int | None = None
    patch_size: int | None = 16
    relative_position: bool = True
    mlp_dim: int = 2048
    quality_dim: int = 256
    decoder_heads: int = 8
    mask_in_chans: int = 16

    def patch(self, image_size: int) -> int:
        """Return the patch side for an image side, both in pixels."""
        return self.patch_size if self.patch_size is not None else image_size // (self.grid or 16)


VARIANTS: dict[str, SamVariant] = {
    "vit_b": SamVariant(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": SamVariant(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": SamVariant(1280, 32, 16, (7, 15, 23, 31)),
    "small": SamVariant(
        128, 5, 4, (2, 4), window_size=8, prompt_dim=96, grid=16, patch_size=None, relative_position=False,
        mlp_dim=256, quality_dim=64, decoder_heads=4,
    ),
    "tiny": SamVariant(
        32, 2, 2, (1,), window_size=4, prompt_dim=32, grid=8, patch_size=None, relative_position=False,
        mlp_dim=64, quality_dim=32, decoder_heads=2, mask_in_chans=4,
    ),
}  # fmt: skip


def build_promptless_sam(
    variant: str, image_size: int, num_classes: int, *, normalise: bool = False, seed: int = 0
) -> PromptlessSam:
    """Build a promptless SAM with random weights drawn from ``seed``.

    Args:
        variant: "vit_b", "vit_l", "vit_h" (the paper's scale), "small" (1.5 M parameters, 16 x 16 tokens at any image
            size) or "tiny" (tests).
        image_size: side of the square encoder input, in pixels; a multiple of the patch (16 for the ViT variants) or,
            for "small" and "tiny", of the token grid (16 and 8).
        num_classes: K >= 1.
        normalise: subtract SAM's pixel mean inside the network; off as in the release.
        seed: seed of the random weights; the global generator is left as it was.

    Raises:
        ConfigError: unknown variant, size that the variant cannot cut into patches, or no class.
    """
    shape = VARIANTS.get(variant)
    if shape is None:
        raise ConfigError("teacher variant", f"'{variant}' is not known", f"Choose one of {', '.join(VARIANTS)}.")
    unit = shape.patch_size or shape.grid or 16
    if image_size < unit or image_size % unit:
        raise ConfigError(
            "teacher image_size", f"{image_size} is not a multiple of {unit} ({variant})", "Choose a multiple."
        )
    if num_classes < 1:
        raise ConfigError("teacher num_classes", f"{num_classes} is below 1", "Name at least one foreground class.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _assemble(shape, image_size, num_classes, normalise)


def _assemble(shape: SamVariant, image_size: int, num_classes: int, normalise: bool) -> PromptlessSam:
    patch = shape.patch(image_size)
    grid = image_size // patch
    encoder = ImageEncoderViT(
        img_size=image_size,
        patch_size=patch,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.num_heads,
        out_chans=shape.prompt_dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=shape.relative_position,
        window_size=shape.window_size,
        global_attn_indexes=shape.global_attention,
    )
    prompt_encoder = PromptEncoder(
        embed_dim=shape.prompt_dim,
        image_embedding_size=(grid, grid),
        input_image_size=(image_size, image_size),
        mask_in_chans=shape.mask_in_chans,
    )
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=shape.prompt_dim, num_heads=shape.decoder_heads, mlp_dim=shape.mlp_dim
    )
    if not shape.relative_position:  # nothing else tells these encoders where a patch lies: start from small noise
        nn.init.trunc_normal_(encoder.pos_embed, std=0.02)
    decoder = PromptlessMaskDecoder(shape.prompt_dim, transformer, num_classes, shape.quality_dim)
    return PromptlessSam(encoder, prompt_encoder, decoder, normalise)
