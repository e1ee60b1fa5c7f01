# SPDX-License-Identifier: Apache-2.0
"""Self-assessment of HSSF (Ma et al., IEEE TMI 2023, DOI 10.1109/TMI.2023.3348982): a network says where it is right.

Beside every mask logit z a head gives a confidence logit a. With a mask y (public images):

    L = structure(z, y) + 4 BCE( a, XNOR( 1[z > 0], y ) )            structure: `dsfedmed.algorithms.regularity`

Of an image without a mask two views are seen, weak (w) and strong (s), with c = sigmoid(a):

    c, label  =  those of the view with the higher c, pixel by pixel;   label is flipped where c < 0.3
    an image counts where the mean of c is above 0.75
    L_u = structure(z_w, label) + structure(z_s, label), the mean over the images of a batch that count; 0 without any

HSSF's homogeneous sibling LSSL averages the sites' whole states by 1 / K each, and its sites train on the public images
first. The release (YxMa666/HSSF) is read through a specification of it; its networks have two channels under a softmax,
here each of K channels has a background of its own (`regularity`).

Deviations: "cross-entropy and structure" on pseudo-labels is read as the structure loss, whose first term is that
cross-entropy; the release's mean square between clean features and features under dropout is left out, since the light
networks have no such layer; its 20 rounds of warm-up without own images are the start on the public labels at the
server, by the same loss L.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.ignored_pixels import valid_mean
from dsfedmed.algorithms.regularity import structure_loss

CONFIDENCE_WEIGHT = 4.0


def confidence_loss(confidence: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """Return BCE( a, XNOR ), a scalar, without the ignored pixels (NaN).

    Args:
        confidence: a, (N, K, H, W).
        logits: z, (N, K, H, W); nothing flows back through whether they are right.
        target: masks y, (N, K, H, W).
    """
    right = ((logits > 0) == (target > 0.5)).float()
    return valid_mean(functional.binary_cross_entropy_with_logits(confidence, right, reduction="none"), target)


def assessed_loss(logits: Tensor, confidence: Tensor, target: Tensor) -> Tensor:
    """Return L of images with masks, a scalar; all (N, K, H, W)."""
    return structure_loss(logits, target) + CONFIDENCE_WEIGHT * confidence_loss(confidence, logits, target)


def chosen_labels(logits: list[Tensor], confidence: list[Tensor], flip: float) -> tuple[Tensor, Tensor]:
    """Return labels and c of several views' logits and confidence logits, each (N, K, H, W), without gradient."""
    sure, view = torch.sigmoid(torch.stack(confidence).detach()).max(dim=0)
    said = torch.stack(logits).detach().gather(0, view[None])[0] > 0
    return (said ^ (sure < flip)).float(), sure


def self_labelled_loss(views: list[Tensor], label: Tensor, sure: Tensor, gate: float) -> tuple[Tensor, Tensor]:
    """Return L_u, a scalar, and which images count, (N,).

    Args:
        views: z of each view, (N, K, H, W).
        label: (N, K, H, W) in {0, 1}.
        sure: c, (N, K, H, W).
        gate: mean c above which an image counts.
    """
    counts = sure.flatten(1).mean(dim=1) > gate
    if not bool(counts.any()):
        return views[0].sum() * 0, counts
    losses = [structure_loss(logits[counts], label[counts]) for logits in views]
    return torch.stack(losses).sum(), counts
