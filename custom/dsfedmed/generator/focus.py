# SPDX-License-Identifier: Apache-2.0
"""The denoising error with the masked region counting for itself.

A lesion covers a small part of an image, so a mean over all positions hardly asks a branch for it, and what a small
branch then draws under a mask often shows no lesion there. Source of the idea: LeFusion, arXiv 2403.14066, whose loss
looks at the lesion alone; here the whole image stays in it, since the branch has to draw both.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def focused_error(squares: Tensor, masks: Tensor, weight: float) -> Tensor:
    """Return (B,): (mean over the image + weight * mean over its masked region) / (1 + weight).

    The region is every latent position that a mask of any class touches, and its neighbours, where the rim is drawn.
    Without a mask the mean over the image is all there is.

    Args:
        squares: squared errors of the latents (B, c, s, s).
        masks: (B, K, S, S) in {0, 1}, S a multiple of s.
        weight: 0 or above; 0 is the plain mean.
    """
    everywhere = squares.mean(dim=(1, 2, 3))
    if not weight:
        return everywhere
    touched = functional.adaptive_max_pool2d(masks.amax(dim=1, keepdim=True).to(squares.dtype), squares.shape[-1])
    region = functional.max_pool2d(touched, 3, stride=1, padding=1)
    size = region.sum(dim=(1, 2, 3))
    inside = (squares.mean(dim=1, keepdim=True) * region).sum(dim=(1, 2, 3)) / size.clamp(min=1)
    share = weight * (size > 0)
    return (everywhere + share * inside) / (1 + share)
