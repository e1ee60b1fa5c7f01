# SPDX-License-Identifier: Apache-2.0
"""Sizes of the promptless SAM: widths and depths of segment-anything's parts."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.errors import ConfigError


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
        convolutional_stem: strided convolutions in place of the patch projection (`stem.py`).
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
    convolutional_stem: bool = False

    def takes(self, image_size: int) -> bool:
        """Say whether a square image of this side, in pixels, can be cut into patches."""
        unit = self.patch_size or self.grid or 16
        if image_size < unit or image_size % unit:
            return False
        patch = self.patch(image_size)
        return not self.convolutional_stem or (patch >= 2 and patch & (patch - 1) == 0)

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
    "wide": SamVariant(  # most of it encoder, as of SAM: what adapters and low-rank updates save shows at small size
        192, 6, 6, (1, 3, 5), window_size=8, prompt_dim=64, grid=8, patch_size=None, relative_position=False,
        mlp_dim=128, quality_dim=32, decoder_heads=4, mask_in_chans=4, convolutional_stem=True,
    ),
    "tiny": SamVariant(
        32, 2, 2, (1,), window_size=4, prompt_dim=32, grid=8, patch_size=None, relative_position=False,
        mlp_dim=64, quality_dim=32, decoder_heads=2, mask_in_chans=4,
    ),
}  # fmt: skip


def check_variant(variant: str) -> None:
    """Raise ``ConfigError`` unless the variant is known."""
    if variant not in VARIANTS:
        raise ConfigError("teacher variant", f"'{variant}' is not known", f"Choose one of {', '.join(VARIANTS)}.")


def check_size(variant: str, image_size: int) -> None:
    """Raise ``ConfigError`` unless the variant is known and can cut a square image of this side into patches."""
    check_variant(variant)
    shape = VARIANTS[variant]
    if not shape.takes(image_size):
        unit = shape.patch_size or shape.grid or 16
        times = ", by a power of two" if shape.convolutional_stem else ""
        reason = f"{image_size} is not a multiple of {unit}{times} ({variant})"
        raise ConfigError("teacher image_size", reason, f"Choose a multiple, such as {next_size(variant, image_size)}.")


def next_size(variant: str, image_size: int) -> int:
    """Return the smallest side from ``image_size`` on, in pixels, that a known variant can cut into patches."""
    shape = VARIANTS[variant]
    return next(side for side in range(max(image_size, 1), 2 * max(image_size, 1) + 2**10) if shape.takes(side))
