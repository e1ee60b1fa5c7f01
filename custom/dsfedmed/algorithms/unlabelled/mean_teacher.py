# SPDX-License-Identifier: Apache-2.0
"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780): a running mean of the weights is the teacher.

After step t = 1, 2 ... of the student theta, and for an unlabelled image with p of the teacher and q of the student:

    theta'  <-  alpha_t theta' + (1 - alpha_t) theta,     alpha_t = min(1 - 1 / (t + 1), alpha)
    L = w(r) mean (q - p)^2,     w(r) = w exp( -5 (1 - r / R)^2 ) up to round R, then w  (`agreement.ramp_up`)

alpha_t makes the teacher the plain mean of the student's weights until 1 - 1 / (t + 1) reaches alpha. For a softmax of
two classes, which K independent channels are, the paper's mean square over both is this (q - p)^2.

Deviations: the paper classifies, has the loss on labelled images as well, counts its ramp in steps, gives teacher and
student noise of their own, and takes alpha 0.99 in the ramp and 0.999 after it, which is the longer memory for longer
runs than a federation's. Here the student sees the strong view and the teacher the weak one; one alpha; the teacher is
asked in evaluation mode, and normalisation statistics, where a network has any, take the running mean as weights do.
In the federation every site keeps a teacher of its own, which begins as the first global network that arrives; students
are averaged and released, as the teachers never leave.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def decay_after(step: int, decay: float) -> float:
    """Return alpha_t after step ``step``, from 1."""
    return min(1 - 1 / (step + 1), decay)


@torch.no_grad()
def follow(teacher: Mapping[str, Tensor], student: Mapping[str, Tensor], decay: float) -> None:
    """Move the teacher's tensors in place: ``decay`` of themselves and the rest of the student's."""
    for name, tensor in teacher.items():
        tensor.lerp_(student[name].to(tensor), 1 - decay)


def consistency(logits: Tensor, probability: Tensor) -> Tensor:
    """Return the mean of (q - p)^2, a scalar.

    Args:
        logits: of q, the student's on the strong view, (N, K, H, W).
        probability: p, the teacher's on the weak view, (N, K, H, W), without gradient.
    """
    return (torch.sigmoid(logits) - probability).square().mean()
