# SPDX-License-Identifier: Apache-2.0
"""Regularity condensation (RC) and fusion (RF): different networks learn from each other's answers to public images.

Source: HSSF (Ma et al., IEEE TMI 2023, DOI 10.1109/TMI.2023.3348982), for SAM-Fed's heterogeneous sites.

For a public image with mask y, logits z_G of the server and z_1..z_K of the sites, acc the share of right pixels:

    RC   structure(z_G, y) + 10 KL_2(z_best -> z_G) 1[acc_best > acc_G],  best = the site with the highest acc,
         which counts only above 0.75
    RF   structure(z_k, y) + 10 KL_2(z_G -> z_k) 1[acc_G > acc_k]
    structure(z, y) = mean( BCE(z, y) + 1 - (I_w + 1) / (U_w - I_w + 1) ),  w = 1 + 5 |avgpool_31(y) - y|
    KL_2: the divergence at T = 2, without the factor T^2, as the mean over a pixel's two classes

The release (YxMa666/HSSF, ``utils/losses.py``) has two channels, background and foreground, under a softmax. Its mean
over channels and pixels of the divergence runs over both, so that a pixel counts half; its I_w and U_w are sums over
both, of masks and sigmoids, before the one ratio of an image. Here a channel z is the foreground's logit less the
background's, sigmoid(z) and 1 - sigmoid(z) are the two probabilities, and with K channels each has a background of its
own. A background's w is that of its own mask: beyond the image's edge there is neither.

Deviations from the release: the two sigmoids of its wIoU, which need not add up to one, do here; no self-assessment
head (its loss 4 L_conf, and the flip of pixels below confidence 0.3), since the networks here have none; the release
resets its running best after every site and then lets later sites overwrite it while nobody is above 0.75, which
depends on the sites' order; the window of 31 pixels belongs to 384 pixels and shrinks with the image; the accuracies of
a round are taken once, before its passes and without noise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.ignored_pixels import valid_mean, valid_mean_per_sample
from dsfedmed.algorithms.losses import bernoulli_kl

KL_WEIGHT, KL_TEMPERATURE, GATE = 10.0, 2.0, 0.75
WINDOW_SHARE, BOUNDARY_WEIGHT = 31 / 384, 5.0
CLASSES = 2
"""Of a channel: it and its background."""


def image_accuracy(probability: Tensor, target: Tensor) -> Tensor:
    """Return the share of right pixels of each image, (N,), of probabilities and masks (N, K, H, W).

    Ignored pixels (NaN) do not count; an image of nothing else has 0.
    """
    return valid_mean_per_sample(((probability > 0.5) == (target > 0.5)).float(), target)


def best_of(probabilities: list[Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each image the most accurate of several answers, (N, K, H, W), and its accuracy, (N,).

    Args:
        probabilities: one (N, K, H, W) a site.
        target: masks (N, K, H, W).
    """
    accuracy = torch.stack([image_accuracy(answer, target) for answer in probabilities])
    best = accuracy.argmax(dim=0)
    images = torch.arange(len(target))
    return torch.stack(probabilities)[best, images], accuracy[best, images]


def boundary_weight(target: Tensor) -> Tensor:
    """Return w, (N, K, H, W) in [1, 6]: large near the edge of a mask; 0 on ignored pixels, which move no edge."""
    window = max(3, round(WINDOW_SHARE * target.shape[-1]) | 1)
    ignored = target.isnan()
    if not bool(ignored.any()):
        near = functional.avg_pool2d(target, window, stride=1, padding=window // 2)
        return 1 + BOUNDARY_WEIGHT * (near - target).abs()
    known = target.nan_to_num(nan=0.0)
    near = functional.avg_pool2d(known, window, stride=1, padding=window // 2)
    share = 1 - functional.avg_pool2d(ignored.to(known.dtype), window, stride=1, padding=window // 2)
    near = near / share.clamp(min=1 / window**2)  # a pixel that counts is in its own window
    return (1 + BOUNDARY_WEIGHT * (near - known).abs()).masked_fill(ignored, 0.0)


def structure_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the structure loss of logits and masks (N, K, H, W), a scalar, without the ignored pixels (NaN)."""
    known = target.nan_to_num(nan=0.0)
    bce = valid_mean(functional.binary_cross_entropy_with_logits(logits, known, reduction="none"), target)
    overlap, total = logits.new_zeros(()), logits.new_zeros(())
    for mask, score in ((target, logits), (1 - target, -logits)):  # foreground and background, in one ratio
        weight, probability, true = boundary_weight(mask), torch.sigmoid(score), mask.nan_to_num(nan=0.0)
        overlap = overlap + (weight * probability * true).sum((2, 3))
        total = total + (weight * (probability + true)).sum((2, 3))
    return bce + (1 - (overlap + 1) / (total - overlap + 1)).mean()


def regularity_kl(teacher_logits: Tensor, logits: Tensor, gate: Tensor, target: Tensor) -> Tensor:
    """Return 10 KL_2(teacher -> logits) averaged over the images that ``gate`` (N,) opens; 0 where it opens none.

    Pixels that the masks ``target`` (N, K, H, W) ignore (NaN) are left out.
    """
    divergence = bernoulli_kl(teacher_logits, logits, KL_TEMPERATURE) / KL_TEMPERATURE**2 / CLASSES
    return KL_WEIGHT * (gate * valid_mean_per_sample(divergence, target)).mean()
