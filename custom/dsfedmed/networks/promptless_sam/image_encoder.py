# SPDX-License-Identifier: Apache-2.0
"""SAM's image encoder with gradient checkpointing: its blocks run twice instead of keeping their activations.

At 1024 px a ViT block's attention map over the whole image alone is 12 x 4096 x 4096 numbers (0.75 GiB in float32), so
training the encoder of ViT-B keeps tens of GiB; with checkpointing it keeps one input a block (12 MiB) and pays a
second forward.
"""

from __future__ import annotations

from typing import cast

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor
from torch.utils.checkpoint import checkpoint


class SamImageEncoder(ImageEncoderViT):  # type: ignore[misc]
    """segment-anything's ViT: images (N, 3, S, S) -> embeddings (N, E, S / 16, S / 16).

    Attributes:
        checkpoint_blocks: recompute each block in the backward pass; outputs and gradients stay the same.
    """

    checkpoint_blocks = False

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (N, E, h, w) of normalised or raw images (N, 3, S, S)."""
        if not (self.checkpoint_blocks and torch.is_grad_enabled()):
            return cast(Tensor, super().forward(images))
        tokens = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            tokens = checkpoint(block, tokens, use_reentrant=False)
        return cast(Tensor, self.neck(tokens.permute(0, 3, 1, 2)))
