# SPDX-License-Identifier: Apache-2.0
"""Pixels that nobody labelled, left out of losses.

Mask channels (N, K, H, W) are 0 or 1, and NaN in every channel of a pixel that is to be ignored
(`dsfedmed.data.labels.to_channels`). NaN is chosen because it cannot pass for background: what forgets it has a loss
that is not finite, and stops. Functions here return, for masks without such pixels, the very bits that they returned
before there were any; of an ignored pixel no network gets a gradient, not even a rounding error of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError


class ValidPixelLoss(nn.Module):
    """A loss over the pixels that are not ignored.

    Where some are, the batch's other pixels are handed to the loss as one image (1, K, P, 1). For a loss that is a mean
    over pixels, or a Dice over the whole batch (``batch: true``, as in all bundles here), that is the loss without the
    ignored ones. A batch in which every pixel is ignored has loss 0 and gradient 0.

    Args:
        loss: of logits and mask channels, both (N, K, H, W), to a scalar.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits and mask channels (N, K, H, W).

        Raises:
            ConfigError: pixels are ignored and the loss has a Dice of each image by itself (``batch: false``).
        """
        ignored = target.isnan()
        if not bool(ignored.any()):
            return self.loss(logits, target)
        self._require_whole_batches()
        valid = ~ignored.any(dim=1)
        if not bool(valid.any()):
            return no_loss(logits)
        return self.loss(_as_one_image(logits, valid), _as_one_image(target, valid))

    def _require_whole_batches(self) -> None:
        modules = self.loss.modules() if isinstance(self.loss, nn.Module) else ()
        if any(getattr(module, "batch", None) is False for module in modules):
            reason = "it looks at each image by itself, and some pixels of the labels are to be ignored"
            raise ConfigError(f"loss {type(self.loss).__name__}", reason, 'Write "batch": true in the bundle\'s loss.')


def no_loss(logits: Tensor) -> Tensor:
    """Return 0 with a gradient of 0, for a batch that has nothing to learn from; logits of any shape."""
    return (torch.nan_to_num(logits) * 0).sum()


def without_ignored(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and mask channels (N, K, H, W) with ignored pixels as background that is found for certain.

    A logit of minus infinity is a probability of exactly 0 without a gradient, so that such a pixel adds nothing to the
    sums of a Dice. A mean over pixels would still count it.
    """
    ignored = target.isnan()
    if not bool(ignored.any()):
        return logits, target
    return logits.masked_fill(ignored, -math.inf), target.masked_fill(ignored, 0.0)


def valid_mean(values: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``values`` (N, K, H, W) where ``target`` is not ignored, a scalar; 0 where it is everywhere.

    ``values`` have to be finite on the ignored pixels as well.
    """
    ignored = target.isnan()
    if not bool(ignored.any()):
        return values.mean()
    valid = ~ignored
    return values[valid].mean() if bool(valid.any()) else no_loss(values)


def valid_mean_per_sample(values: Tensor, target: Tensor) -> Tensor:
    """Return `valid_mean` of each sample, (N,)."""
    ignored = target.isnan()
    if not bool(ignored.any()):
        return values.flatten(1).mean(dim=1)
    valid = (~ignored).to(values.dtype)
    return (values * valid).flatten(1).sum(dim=1) / valid.flatten(1).sum(dim=1).clamp(min=1)


def _as_one_image(values: Tensor, valid: Tensor) -> Tensor:
    """Return the pixels of (N, K, H, W) that ``valid`` (N, H, W) names, (1, K, P, 1)."""
    return values.movedim(1, 0)[:, valid][None, ..., None]
