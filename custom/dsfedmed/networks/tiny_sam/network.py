# SPDX-License-Identifier: Apache-2.0
"""TinySAM: promptless SAM over TinyViT-5M, the light network of DSFedMed (section "Models").

Sources: TinySAM, arXiv 2312.13789, and MobileSAM, arXiv 2306.14289 (the architecture); TinyViT, arXiv 2207.10666, as
timm builds it (the trunk). Forward, decoder and state-dict layout are those of ``PromptlessSam``.

Parameters, one class: TinyViT 5,071,124 + neck 672,768 + prompt encoder 6,220 + decoder 4,058,345 = 9,808,457. The
release counts 10,130,097, because its TinyViT still carries the ImageNet head, which nothing runs: ``norm_head`` (640)
and ``head`` (321,000). Here they are not built.

Deviations: what a promptless decoder never runs (prompt embeddings, mask-prompt stem, quality head and, with one class,
``seg1`` and the hypernetworks of mask tokens 1 to 3) is kept for its keys, frozen and never sent: 9,250,196 parameters
are trained with one class. Any square size works (the release reshapes to 64 x 64), and grey images are repeated;
images of other than one and three channels have a stem of their own (`dsfedmed.networks.stem_channels`).
"""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import Attention
from torch import Tensor, nn

from dsfedmed.algorithms.sides import cut_back, extended, up_to_multiple
from dsfedmed.errors import ConfigError
from dsfedmed.networks.promptless_sam import PromptlessMaskDecoder, PromptlessSam
from dsfedmed.networks.promptless_sam.variants import VARIANTS
from dsfedmed.networks.stem_channels import COLOURS, stem_channels

STRIDE = 16
SMALLEST = 32
TRUNK_WIDTH = 320
IDLE_WITH_ONE_CLASS = ("mask_decoder.seg1.", *(f"mask_decoder.output_hypernetworks_mlps.{i}." for i in (1, 2, 3)))


class TinyVitEncoder(nn.Module):
    """TinyViT-5M with SAM's neck: (N, C, S, S) -> (N, 256, S / 16, S / 16).

    As in MobileSAM the last patch merging does not halve the map, so that 1024 pixels give SAM's 64 x 64.

    Args:
        image_size: S, in pixels; a multiple of 16 from 32 on (timm pads what does not fill a window).
        width: channels of the embedding.
        channels: C, of the stem.
    """

    trunk: Any

    def __init__(self, image_size: int, width: int = 256, channels: int = COLOURS) -> None:
        super().__init__()
        self.img_size = image_size
        self.trunk = timm.create_model("tiny_vit_5m_224", pretrained=False, num_classes=0, in_chans=channels)
        self.trunk.reset_classifier(0, "", reset_other=True)  # the head's norm would be dead weight as well
        self.trunk.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(TRUNK_WIDTH, width, kernel_size=1, bias=False),
            LayerNorm2d(width),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(width),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the embedding (N, width, S / 16, S / 16)."""
        self._forget_cached_biases()
        # Channels last: the blocks' (N, h, w, C) tokens are then views of the maps, a fifth less time on CPUs.
        images = images.contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.neck(self.trunk.forward_features(images)))

    def _forget_cached_biases(self) -> None:
        """Let every evaluation read the biases as they are.

        timm gathers them once per stay in evaluation mode, and would go on using them after other weights were loaded.
        """
        for module in self.trunk.modules():
            if isinstance(module, Attention):
                module.attention_bias_cache = {}


class TinySam(PromptlessSam):
    """Promptless TinySAM: (N, C, H, W) in [0, 1] -> logits (N, K, H, W); plain arguments, for a bundle.

    Args:
        image_size: side of the square images, in pixels, from 32 on. The encoder sees the next multiple of 16, to which
            they are extended (`dsfedmed.algorithms.sides`). Images of another size are resized on the way in, logits on
            the way out.
        num_classes: K >= 1.
        in_channels: C, of the images, 1 to 16; grey ones (1) are repeated to the three channels of the stem.
        normalise: subtract SAM's pixel mean and divide by its deviation, as MobileSAM's and TinySAM's own weights were
            trained with; off as in DSFedMed's release.

    Raises:
        ConfigError: a size, a number of classes or of channels that it cannot take.
    """

    def __init__(
        self, image_size: int = 1024, num_classes: int = 1, in_channels: int = 3, normalise: bool = False
    ) -> None:
        _check(image_size, num_classes)
        channels = stem_channels(in_channels, "TinySam")
        shape = VARIANTS["vit_b"]
        asked, image_size = image_size, up_to_multiple(image_size, STRIDE)
        encoder = TinyVitEncoder(image_size, shape.prompt_dim, channels)
        grid = image_size // STRIDE
        prompts = PromptEncoder(shape.prompt_dim, (grid, grid), (image_size, image_size), shape.mask_in_chans)
        transformer = TwoWayTransformer(2, shape.prompt_dim, shape.decoder_heads, shape.mlp_dim)
        decoder = PromptlessMaskDecoder(shape.prompt_dim, transformer, num_classes, shape.quality_dim)
        super().__init__(encoder, prompts, decoder, normalise, channels)
        self._asked = asked
        if num_classes == 1:
            self.idle_prefixes = (*self.idle_prefixes, *IDLE_WITH_ONE_CLASS)
        self._freeze_what_is_not_run()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K, H, W) at the size of the images (N, C, H, W) in [0, 1]."""
        height, width = images.shape[-2:]
        if (height, width) != (self._asked, self._asked):
            return super().forward(images)
        return cut_back(super().forward(extended(images, STRIDE)), height, width)

    def _freeze_what_is_not_run(self) -> None:
        for name, parameter in self.named_parameters():
            if name.startswith(self.idle_prefixes):
                parameter.requires_grad_(False)


def _check(image_size: int, num_classes: int) -> None:
    where = "TinySam"
    if image_size < SMALLEST:
        raise ConfigError(where, f"image_size {image_size} is below {SMALLEST}", f"Choose {SMALLEST} or more")
    if num_classes < 1:
        raise ConfigError(where, f"num_classes {num_classes} is below 1", "Name at least one foreground class")
