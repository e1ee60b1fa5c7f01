# SPDX-License-Identifier: Apache-2.0
"""Promptless SAM: segment-anything's parts, run without prompts (DSFedMed, section "Models").

Tokens are the IoU token and the mask tokens alone: no sparse prompt is concatenated and no dense prompt is added; the
prompt encoder only gives the dense positional encoding. One class is read from mask token 0; K > 1 classes come from
``mask_decoder.seg1``, a 1x1 convolution over the mask channels. State-dict keys are segment-anything's
(``image_encoder.``, ``prompt_encoder.``, ``mask_decoder.``), so that official checkpoints map one to one.

Parameters by test, one class: ViT-B 93,735,477 (encoder 89,670,912, prompt encoder 6,220, decoder 4,058,345), ViT-L
312,342,837, ViT-H 641,090,613; SAM's own decoder has 4,058,340, the five more are ``seg1``, and every further class
costs another five.

Deviations from the release: the tokens are batched by ``expand`` (the release builds them with batch 1); the quality
head is kept for its keys and not run; images of other than one and three channels have a stem of their own
(`dsfedmed.networks.stem_channels`); ``seg1`` starts as mask token 0 plus a small random part, so that a teacher
pre-trained on one foreground class starts several classes from that foreground; logits come back at the input's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.errors import ConfigError
from dsfedmed.networks.promptless_sam.image_encoder import SamImageEncoder
from dsfedmed.networks.promptless_sam.positions import fit_positions
from dsfedmed.networks.promptless_sam.stem import convolutional_stem
from dsfedmed.networks.promptless_sam.variants import VARIANTS, SamVariant, check_size
from dsfedmed.networks.stem_channels import COLOURS, fit_channels, stem_channels

# SAM's own pixel statistics (ImageNet, in units of [0, 1]); used with ``normalise=True`` only.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


class PromptlessMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder with the class head ``seg1`` and a batched, promptless forward.

    Args:
        transformer_dim: embedding width E.
        transformer: two-way transformer over (tokens, image embedding).
        num_classes: K >= 1.
        iou_head_hidden_dim: width of the (kept, not run) quality head.
    """

    def __init__(
        self, transformer_dim: int, transformer: nn.Module, num_classes: int, iou_head_hidden_dim: int = 256
    ) -> None:
        super().__init__(
            transformer_dim=transformer_dim, transformer=transformer, iou_head_hidden_dim=iou_head_hidden_dim
        )
        self.num_classes = num_classes
        # Present with one class too: the release counts its five parameters (4,058,345 in the decoder).
        self.seg1 = nn.Conv2d(self.num_mask_tokens, num_classes, kernel_size=1)
        with torch.no_grad():
            self.seg1.weight.mul_(0.1)
            self.seg1.weight[:, 0] = 1.0
            nn.init.zeros_(cast(Tensor, self.seg1.bias))

    def forward(self, embeddings: Tensor, positional: Tensor) -> Tensor:
        """Return low-resolution logits (N, K, 4h, 4w) of embeddings (N, E, h, w), positional encoding (1, E, h, w)."""
        if self.num_classes == 1:
            return self.mask_channels(embeddings, positional, count=1)
        return cast(Tensor, self.seg1(self.mask_channels(embeddings, positional, count=self.num_mask_tokens)))

    def mask_channels(self, embeddings: Tensor, positional: Tensor, count: int) -> Tensor:
        """Return the logits of the first ``count`` mask tokens, (N, count, 4h, 4w)."""
        batch, width, height, length = embeddings.shape
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(batch, -1, -1)
        hidden, image = self.transformer(embeddings, positional, tokens)
        upscaled = self.output_upscaling(image.transpose(1, 2).reshape(batch, width, height, length))
        weights = torch.stack([self.output_hypernetworks_mlps[i](hidden[:, 1 + i]) for i in range(count)], dim=1)
        return torch.einsum("nmc,nchw->nmhw", weights, upscaled)


class PromptlessSam(nn.Module):
    """SAM without prompts: (N, C, H, W) in [0, 1] -> logits (N, K, H, W); C is 1 or 3, or what the stem has.

    Args:
        image_encoder: segment-anything's ViT (fixed square input).
        prompt_encoder: used for the dense positional encoding only.
        mask_decoder: promptless decoder with K classes.
        normalise: subtract SAM's pixel mean and divide by its deviation; off as in the release.
        channels: of the image encoder's stem; 3 takes grey images too. Others than 3 have the mean of the three
            statistics.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    class_dependent_prefixes = ("mask_decoder.seg1.",)
    """Keys that depend on the number of classes; official SAM checkpoints do not have them."""

    idle_prefixes: tuple[str, ...] = (
        "prompt_encoder.point_embeddings.",
        "prompt_encoder.not_a_point_embed.",
        "prompt_encoder.mask_downscaling.",
        "prompt_encoder.no_mask_embed.",
        "mask_decoder.iou_prediction_head.",
    )
    """Keys of point, box and mask prompts and of the quality head: held for the format's sake and never run."""

    def __init__(
        self,
        image_encoder: ImageEncoderViT,
        prompt_encoder: PromptEncoder,
        mask_decoder: PromptlessMaskDecoder,
        normalise: bool = False,
        channels: int = COLOURS,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.normalise = normalise
        self.register_buffer("pixel_mean", _statistic(PIXEL_MEAN, channels), persistent=False)
        self.register_buffer("pixel_std", _statistic(PIXEL_STD, channels), persistent=False)

    @property
    def image_size(self) -> int:
        """Side of the square image that the encoder sees, in pixels."""
        return int(self.image_encoder.img_size)

    @property
    def num_classes(self) -> int:
        """Number of mask channels K."""
        return self.mask_decoder.num_classes

    def fit_positions(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the position tables of ``state`` that were learned at another image size, resampled to this one's."""
        return fit_positions(self.state_dict(), state)

    def fit_channels(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the stem's weights of ``state`` that were learned on RGB, inflated to this network's channels."""
        return fit_channels(self.state_dict(), state, self.channels)

    def checkpoint_blocks(self, on: bool) -> None:
        """Recompute the encoder's blocks in the backward pass instead of keeping their activations, or stop doing so.

        Raises:
            ConfigError: the image encoder has no such mode.
        """
        if not isinstance(self.image_encoder, SamImageEncoder):
            kind = type(self.image_encoder).__name__
            raise ConfigError("checkpoint_blocks", f"{kind} cannot recompute its blocks", "Leave it off.")
        self.image_encoder.checkpoint_blocks = on

    def encode(self, images: Tensor) -> Tensor:
        """Return embeddings (N, E, h, w) of images (N, C, H, W) in [0, 1]; resized (bilinear) if need be."""
        wanted = (1, COLOURS) if self.channels == COLOURS else (self.channels,)
        if images.ndim != 4 or images.shape[1] not in wanted:
            expected = " or ".join(map(str, wanted))
            raise ValueError(f"expected images (N, {expected}, H, W), got {tuple(images.shape)}")
        if images.shape[1] == 1 and self.channels == COLOURS:
            images = images.expand(-1, 3, -1, -1)
        size = (self.image_size, self.image_size)
        if tuple(images.shape[-2:]) != size:
            images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        if self.normalise:
            images = (images - self.pixel_mean) / self.pixel_std
        return cast(Tensor, self.image_encoder(images))

    def decode(self, embeddings: Tensor) -> Tensor:
        """Return low-resolution logits (N, K, 4h, 4w) of embeddings (N, E, h, w); samples do not see each other."""
        positional = self.prompt_encoder.get_dense_pe().to(embeddings.dtype)
        return cast(Tensor, self.mask_decoder(embeddings, positional))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W) at the size of the images (N, C, H, W) in [0, 1]."""
        logits = self.decode(self.encode(images))
        if logits.shape[-2:] == images.shape[-2:]:
            return logits
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


BUNDLE = "promptless_sam_segmentation"
"""Folder name of its bundle."""


def build_promptless_sam(
    variant: str,
    image_size: int,
    num_classes: int,
    *,
    in_channels: int = COLOURS,
    normalise: bool = False,
    seed: int = 0,
) -> PromptlessSam:
    """Build a promptless SAM with random weights drawn from ``seed``.

    Args:
        variant: "vit_b", "vit_l", "vit_h" (the paper's scale), "small" (1.5 M parameters, 16 x 16 tokens at any image
            size), "wide" (3.3 M, 95 % of it encoder, convolutional stem, 8 x 8 tokens) or "tiny" (tests).
        image_size: side of the square encoder input, in pixels; a multiple of the patch (16 for the ViT variants) or,
            for the others, of the token grid ("small" 16, "wide" and "tiny" 8).
        num_classes: K >= 1.
        in_channels: of the images, 1 to 16; grey (1) and colour (3) ones share the stem of SAM.
        normalise: subtract SAM's pixel mean inside the network; off as in the release.
        seed: seed of the random weights; the global generator is left as it was.

    Raises:
        ConfigError: unknown variant, size that the variant cannot cut into patches, no class, or no usable channels.
    """
    check_size(variant, image_size)
    shape = VARIANTS[variant]
    if num_classes < 1:
        raise ConfigError("teacher num_classes", f"{num_classes} is below 1", "Name at least one foreground class.")
    channels = stem_channels(in_channels, "teacher")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _assemble(shape, image_size, num_classes, normalise, channels)


def _assemble(shape: SamVariant, image_size: int, num_classes: int, normalise: bool, channels: int) -> PromptlessSam:
    patch = shape.patch(image_size)
    grid = image_size // patch
    encoder = SamImageEncoder(
        img_size=image_size,
        patch_size=patch,
        in_chans=channels,
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
    if shape.patch_size is None:
        _start_without_checkpoint(encoder)
    if shape.convolutional_stem:
        encoder.patch_embed.proj = convolutional_stem(patch, shape.embed_dim, channels)
    decoder = PromptlessMaskDecoder(shape.prompt_dim, transformer, num_classes, shape.quality_dim)
    return PromptlessSam(encoder, prompt_encoder, decoder, normalise, channels)


def _start_without_checkpoint(encoder: ImageEncoderViT) -> None:
    """Start values for the encoders that have no official checkpoint.

    Positions start from small noise, for nothing else tells these encoders where a patch lies. The patch projection
    starts centred: SAM's pixel normalisation folded into weight and bias, so that dark and bright patches of a [0, 1]
    image differ in sign and not in length only (the first layer norm would take the length away).
    """
    nn.init.trunc_normal_(encoder.pos_embed, std=0.02)
    projection = encoder.patch_embed.proj
    channels = projection.in_channels
    with torch.no_grad():
        projection.weight.div_(_statistic(PIXEL_STD, channels))
        projection.bias.copy_(-(projection.weight * _statistic(PIXEL_MEAN, channels)).sum((1, 2, 3)))


def _statistic(colours: tuple[float, float, float], channels: int) -> Tensor:
    """Return SAM's statistic of each channel, (1, C, 1, 1): of RGB its own, of other channels the mean over RGB."""
    values = torch.tensor(colours).view(1, COLOURS, 1, 1)
    return values if channels == COLOURS else values.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
