# SPDX-License-Identifier: Apache-2.0
"""Pixel-wise adaptive agreement between SAM and the local network (SAM-Fed, arXiv 2511.14302).

The paper decides pixel by pixel which of the two an unlabelled image's supervision comes from; its rule, thresholds
and weights are not known. What follows is [inferred], for K independent channels p = sigmoid(z) (the specification has
a softmax over classes). Per channel and pixel, with p_T of SAM and p_c of the local network on the weak view:

    c = 1[p > 0.5],  conf = max(p, 1 - p),  A = 1[c_T = c_c]
    tau_k = tau_0 * EMA( mean conf_T over the pixels where c_T = k ),  k in {0, 1}, for each channel
    alpha = EMA( mean A ): the agreement rate
    A = 1                     hard label c, weight 1
    A = 0 and conf_T >= tau   SAM's label, weight conf_T (or (1 - alpha) conf_T: "scheduled")
    else                      no hard label

    L = sum w BCE(q, y) / sum w  +  soft Dice over the pixels with w > 0  +  beta T^2 KL(p_T || q) over A = 0

q is the network on the strong view; (1 - alpha) makes SAM count less for a network that mostly agrees with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.losses import bernoulli_kl
from dsfedmed.algorithms.soft_divergence import HALF_STEP

DECAY = 0.99
RULES = ("agreement", "agreement_only", "teacher_only")
WEIGHTS = ("confidence", "scheduled")


@dataclass(frozen=True)
class AgreementConfig:
    """Options of the rule; the defaults are the [inferred] reading above.

    Attributes:
        rule: "agreement"; "agreement_only" never takes SAM's word on a pixel in dispute; "teacher_only" does not ask
            the local network, so that every pixel where SAM is sure is SAM's.
        threshold: tau_0.
        weight: of SAM's label on a pixel in dispute.
        soft_weight: beta.
        temperature: T.
    """

    rule: Literal["agreement", "agreement_only", "teacher_only"] = "agreement"
    threshold: float = 0.95
    weight: Literal["confidence", "scheduled"] = "confidence"
    soft_weight: float = 1.0
    temperature: float = 2.0


@dataclass(frozen=True)
class AgreementState:
    """What a site remembers from step to step.

    Attributes:
        rate: alpha, a scalar.
        confidence: EMA of SAM's mean confidence, (K, 2): where it says background, and foreground.
        steps: batches seen; the first one sets the averages.
    """

    rate: Tensor = field(default_factory=lambda: torch.zeros(()))
    confidence: Tensor = field(default_factory=lambda: torch.ones(1, 2))
    steps: int = 0


@dataclass(frozen=True)
class Refined:
    """Supervision of a batch, each (N, K, H, W): hard labels, their weights (0: none), and where the two disagree."""

    label: Tensor
    weight: Tensor
    dispute: Tensor


def update_agreement(state: AgreementState, teacher: Tensor, local: Tensor) -> AgreementState:
    """Return the state after a batch of probabilities (N, K, H, W) of SAM and of the local network."""
    said = teacher > 0.5
    rate = (said == (local > 0.5)).float().mean()
    sure = torch.maximum(teacher, 1 - teacher)
    parts = []
    for index, mask in enumerate((~said, said)):
        count = mask.flatten(2).sum((0, 2))
        total = (sure * mask).flatten(2).sum((0, 2))
        known = state.confidence[:, index] if state.steps else torch.ones_like(total)
        parts.append(torch.where(count > 0, total / count.clamp(min=1), known))  # a class not seen stays as it was
    confidence = torch.stack(parts, dim=1)
    if not state.steps:
        return AgreementState(rate, confidence, 1)
    mixed = [DECAY * old + (1 - DECAY) * new for old, new in ((state.rate, rate), (state.confidence, confidence))]
    return AgreementState(mixed[0], mixed[1], state.steps + 1)


def refine(teacher: Tensor, local: Tensor, state: AgreementState, config: AgreementConfig) -> Refined:
    """Return the supervision of a batch of probabilities (N, K, H, W) of SAM and of the local network."""
    said = teacher > 0.5
    dispute = said != (local > 0.5)
    sure = torch.maximum(teacher, 1 - teacher)
    limits = config.threshold * state.confidence.to(teacher)  # (K, 2)
    limit = torch.where(said, limits[:, 1, None, None], limits[:, 0, None, None])
    word = sure * (1 - state.rate.to(sure)) if config.weight == "scheduled" else sure
    word = torch.where(sure >= limit, word, torch.zeros_like(word))
    if config.rule == "agreement_only":
        word = torch.zeros_like(word)
    if config.rule == "teacher_only":
        return Refined(said.float(), word, dispute)
    return Refined(said.float(), torch.where(dispute, word, torch.ones_like(word)), dispute)


def agreement_loss(logits: Tensor, refined: Refined, teacher: Tensor, config: AgreementConfig) -> Tensor:
    """Return L, a scalar.

    Args:
        logits: q before the sigmoid, on the strong view, (N, K, H, W).
        refined: the supervision.
        teacher: p_T, (N, K, H, W); clamped by half an 8-bit step, as it comes from 8-bit levels.
        config: beta and T.
    """
    bce = functional.binary_cross_entropy_with_logits(logits, refined.label, reduction="none")
    hard = (refined.weight * bce).sum() / refined.weight.sum().clamp(min=1)
    kept = (refined.weight > 0).float()
    probability = torch.sigmoid(logits)
    overlap = (kept * probability * refined.label).sum((0, 2, 3))
    size = (kept * (probability + refined.label)).sum((0, 2, 3))
    dice = (1 - (2 * overlap + 1) / (size + 1)).mean()
    if config.soft_weight == 0:
        return hard + dice
    target = torch.logit(teacher.clamp(HALF_STEP, 1 - HALF_STEP))
    divergence = bernoulli_kl(target, logits, config.temperature)
    dispute = refined.dispute.float()
    return hard + dice + config.soft_weight * (dispute * divergence).sum() / dispute.sum().clamp(min=1)


def ramp_up(round_number: int, length: int) -> float:
    """Return the sigmoid ramp-up exp(-5 (1 - t / length)^2) of the unlabelled loss; 1 from round ``length`` on."""
    if round_number >= length:
        return 1.0
    return float(torch.exp(torch.tensor(-5.0 * (1 - round_number / length) ** 2)))
