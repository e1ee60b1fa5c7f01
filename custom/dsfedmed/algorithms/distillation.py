# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation of the teacher (SAM) and the light network on the learnable samples.

Source: DSFedMed, arXiv 2601.16073, objective:  min  E_{x ~ a(x)} [ KL(p_T||p_S) + KL(p_S||p_T) ]
Released code:  L = 0.9 bce(z_T, y) + 0.9 bce(z_S, y) + 0.1 mean_sel KL(p_S||p_T) + 0.1 mean_sel KL(p_T||p_S)

z are logits (N, K, H, W) on one grid, y the mask channels (N, K, H, W), bce has ``pos_weight`` 2; the bce terms run
over the whole batch, the KL terms over the selected samples only.

Where paper and code differ, and what we do:
- The paper's objective is KL only: ``supervised_weight=0, kl_weight=1``. The code's is the default, 0.9 and 0.1.
- The paper scores the whole pool with lambda; the code filters inside each mini-batch and never reads lambda. ``rule``
  chooses: "top" or "softmax" (paper's two views), "batch_quantile" (code).
- The code supervises all samples and selects for the KL only, so that selection saves no time, while the paper halves
  its time. ``supervise``: "all" (code) or "selected". Under pool rules only selected samples come here at all.
- Neither detaches: each KL term sends gradients to both networks and their sum is the Jeffreys divergence.
  ``stop_gradient=True`` lets each network learn from the other as a constant: KL(sg p_T||p_S) and KL(sg p_S||p_T).
- T = 1 in both; ``temperature`` is an option, with the factor T^2.
- The code's optional MSE between encoder features is left out: it needs encoders of equal embedding shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from dsfedmed.algorithms.batch_quantile import select_batch_quantile
from dsfedmed.algorithms.ignored_pixels import valid_mean
from dsfedmed.algorithms.losses import bce_per_sample, bernoulli_kl
from dsfedmed.algorithms.selection import select_softmax, select_top
from dsfedmed.options import read_options, require, require_choice

Rule = Literal["top", "softmax", "batch_quantile"]
RULES: tuple[str, ...] = ("top", "softmax", "batch_quantile")


@dataclass(frozen=True)
class DistillationConfig:
    """Hyper-parameters of learnability-guided mutual distillation.

    Attributes:
        lam: weight of reliability against informativeness in the learnability score, 0 to 1.
        rate: share of the pool (or of the batch) that is selected, above 0, up to 1.
        rule: "top", "softmax" (both over the pool) or "batch_quantile" (released code).
        normalise: z-normalise both terms of the score over the pool.
        softmax_temperature: of the "softmax" rule; small comes near "top".
        quantile: reliability quantile of the "batch_quantile" rule.
        temperature: T of the divergences, with the factor T^2.
        stop_gradient: each network takes the other as a constant in its own KL term.
        supervised_weight: factor of the bce terms.
        kl_weight: factor of each of the two KL terms.
        pos_weight: factor of positive pixels in the bce terms.
        supervise: run the bce terms over "all" samples of the batch or over the "selected" ones.
    """

    lam: float = 0.5
    rate: float = 0.5
    rule: Rule = "top"
    normalise: bool = True
    softmax_temperature: float = 1.0
    quantile: float = 0.7
    temperature: float = 1.0
    stop_gradient: bool = False
    supervised_weight: float = 0.9
    kl_weight: float = 0.1
    pos_weight: float = 2.0
    supervise: Literal["all", "selected"] = "all"

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(0.0 <= self.lam <= 1.0, "distillation.lam", f"{self.lam} lies outside [0, 1]", "Give 0 to 1")
        require(
            0.0 < self.rate <= 1.0, "distillation.rate", f"{self.rate} lies outside (0, 1]", "Give above 0, up to 1"
        )
        require(0.0 <= self.quantile <= 1.0, "distillation.quantile", "it lies outside [0, 1]", "Give 0 to 1")
        require_choice("distillation.rule", self.rule, RULES)
        require_choice("distillation.supervise", self.supervise, ("all", "selected"))
        for name in ("softmax_temperature", "temperature", "pos_weight"):
            require(getattr(self, name) > 0, f"distillation.{name}", "it is not above 0", "Give a positive number")
        for name in ("supervised_weight", "kl_weight"):
            good = 0 <= getattr(self, name) < math.inf
            require(good, f"distillation.{name}", "it is negative or not finite", "Give 0 or more")
        learns = self.supervised_weight + self.kl_weight > 0
        require(learns, "distillation.kl_weight", "it and supervised_weight are both 0", "Let one of them count")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "distillation") -> DistillationConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class DistillationLosses:
    """Scalars of one batch. ``total`` is what to differentiate; ``parts`` are detached values for the record.

    Attributes:
        teacher: supervised_weight * bce(z_T, y) + kl_weight * mean_sel KL(p_S||p_T).
        student: supervised_weight * bce(z_S, y) + kl_weight * mean_sel KL(p_T||p_S).
        parts: "teacher_supervised", "student_supervised", "teacher_kl", "student_kl", all without weights.
    """

    teacher: Tensor
    student: Tensor
    parts: dict[str, float]

    @property
    def total(self) -> Tensor:
        """The sum of both networks' losses: the released total loss."""
        return self.teacher + self.student


def mutual_distillation_loss(
    teacher_logits: Tensor,
    student_logits: Tensor,
    target: Tensor,
    config: DistillationConfig,
    selected: Tensor | None = None,
) -> DistillationLosses:
    """Return both networks' losses on one batch.

    Args:
        teacher_logits: (N, K, H, W).
        student_logits: (N, K, H, W) on the same grid.
        target: (N, K, H, W) in {0, 1}; NaN where a pixel is ignored.
        config: weights, temperature, stop_gradient, supervise.
        selected: int64 indices (k,) into the batch of the samples for the KL terms; None for all of them.
    """
    every = torch.arange(len(target), device=target.device)
    chosen = every if selected is None else selected
    supervised = every if config.supervise == "all" else chosen
    teacher_bce = bce_per_sample(teacher_logits[supervised], target[supervised], config.pos_weight).mean()
    student_bce = bce_per_sample(student_logits[supervised], target[supervised], config.pos_weight).mean()
    teacher_kl, student_kl = _kl_terms(teacher_logits[chosen], student_logits[chosen], target[chosen], config)
    parts = {
        "teacher_supervised": float(teacher_bce.detach()),
        "student_supervised": float(student_bce.detach()),
        "teacher_kl": float(teacher_kl.detach()),
        "student_kl": float(student_kl.detach()),
    }
    teacher = config.supervised_weight * teacher_bce + config.kl_weight * teacher_kl
    student = config.supervised_weight * student_bce + config.kl_weight * student_kl
    return DistillationLosses(teacher=teacher, student=student, parts=parts)


def select_from_pool(scores: Tensor, config: DistillationConfig, generator: torch.Generator) -> Tensor:
    """Return the pool indices that ``config.rule`` ("top" or "softmax") selects by learnability score."""
    if config.rule == "top":
        return select_top(scores, config.rate)
    require(
        config.rule == "softmax", "distillation.rule", f"{config.rule!r} works inside a batch", "Use top or softmax"
    )
    return select_softmax(scores, config.rate, generator, config.softmax_temperature)


@torch.no_grad()
def select_in_batch(
    teacher_logits: Tensor, student_logits: Tensor, target: Tensor, config: DistillationConfig
) -> Tensor:
    """Return the batch indices that the released "batch_quantile" rule selects from fresh logits, without gradients."""
    student_kl = bernoulli_kl(teacher_logits, student_logits, config.temperature)
    teacher_kl = bernoulli_kl(student_logits, teacher_logits, config.temperature)
    return select_batch_quantile(
        bce_per_sample(teacher_logits, target, config.pos_weight),
        bce_per_sample(student_logits, target, config.pos_weight),
        (student_kl + teacher_kl).flatten(1).mean(dim=1),
        config.quantile,
        config.rate,
    )


def _kl_terms(teacher: Tensor, student: Tensor, target: Tensor, config: DistillationConfig) -> tuple[Tensor, Tensor]:
    """Return mean KL(p_S||p_T), charged to the teacher, and mean KL(p_T||p_S), charged to the light network."""
    as_target = (lambda logits: logits.detach()) if config.stop_gradient else (lambda logits: logits)
    teacher_kl = bernoulli_kl(as_target(student), teacher, config.temperature)
    student_kl = bernoulli_kl(as_target(teacher), student, config.temperature)
    return valid_mean(teacher_kl, target), valid_mean(student_kl, target)
