# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation: the released total by hand, the paper's objective, gradients, options."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.distillation import (
    DistillationConfig,
    mutual_distillation_loss,
    select_from_pool,
    select_in_batch,
)
from dsfedmed.errors import ConfigError
from dsfedmed.seeds import generator


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


# Two samples of one pixel each. Teacher 0.8 and 0.5, light network 0.5 and 0.2, masks 1 and 0.
TEACHER = torch.tensor([logit(0.8), 0.0], dtype=torch.float64).view(2, 1, 1, 1)
LIGHT = torch.tensor([0.0, logit(0.2)], dtype=torch.float64).view(2, 1, 1, 1)
MASK = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, 1, 1, 1)
TEACHER_BCE = (2 * -math.log(0.8) + math.log(2)) / 2
LIGHT_BCE = (2 * math.log(2) - math.log(0.8)) / 2
# Sample 0: KL of 0.5 from 0.8 and back; sample 1 mirrors it.
KL_FROM_HALF = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
KL_FROM_EIGHT = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)


def test_released_total_by_hand() -> None:
    losses = mutual_distillation_loss(TEACHER, LIGHT, MASK, DistillationConfig(), selected=torch.tensor([0]))
    total = 0.9 * TEACHER_BCE + 0.9 * LIGHT_BCE + 0.1 * KL_FROM_HALF + 0.1 * KL_FROM_EIGHT
    assert float(losses.total) == pytest.approx(total, abs=1e-12)
    assert losses.parts == pytest.approx(
        {
            "teacher_supervised": TEACHER_BCE,
            "student_supervised": LIGHT_BCE,
            "teacher_kl": KL_FROM_HALF,
            "student_kl": KL_FROM_EIGHT,
        }
    )


def test_paper_objective_is_the_two_divergences_alone() -> None:
    config = DistillationConfig(supervised_weight=0.0, kl_weight=1.0)
    losses = mutual_distillation_loss(TEACHER, LIGHT, MASK, config)
    # Over both samples either direction's mean is the mean of the two.
    assert float(losses.total) == pytest.approx(KL_FROM_HALF + KL_FROM_EIGHT, abs=1e-12)
    assert float(losses.teacher.detach()) == pytest.approx((KL_FROM_HALF + KL_FROM_EIGHT) / 2)


def test_at_another_temperature_both_divergences_have_it() -> None:
    """Twice the logits at T = 2 are the same probabilities, and count four times."""
    config = DistillationConfig(temperature=2.0)
    losses = mutual_distillation_loss(2 * TEACHER, 2 * LIGHT, MASK, config, selected=torch.tensor([0]))
    assert losses.parts["teacher_kl"] == pytest.approx(4 * KL_FROM_HALF)
    assert losses.parts["student_kl"] == pytest.approx(4 * KL_FROM_EIGHT)


def test_supervising_the_selected_samples_only() -> None:
    config = DistillationConfig(supervise="selected")
    losses = mutual_distillation_loss(TEACHER, LIGHT, MASK, config, selected=torch.tensor([1]))
    assert losses.parts["teacher_supervised"] == pytest.approx(math.log(2))
    assert losses.parts["student_supervised"] == pytest.approx(-math.log(0.8))


def gradients(config: DistillationConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return d teacher loss / d (z_T, z_S), then d student loss / d (z_T, z_S), for sample 0."""
    found = []
    for name in ("teacher", "student"):
        teacher, light = TEACHER.clone().requires_grad_(), LIGHT.clone().requires_grad_()
        loss = getattr(mutual_distillation_loss(teacher, light, MASK, config), name)
        grads = torch.autograd.grad(loss, (teacher, light), allow_unused=True)
        found += [torch.zeros(2) if grad is None else grad.flatten() for grad in grads]
    return found[0], found[1], found[2], found[3]


def test_without_stop_gradient_each_term_moves_both_networks() -> None:
    config = DistillationConfig(supervised_weight=0.0, kl_weight=1.0)
    assert all(float(grad.abs().min()) > 0 for grad in gradients(config))


def test_with_stop_gradient_each_network_follows_the_other_as_a_constant() -> None:
    config = DistillationConfig(supervised_weight=0.0, kl_weight=1.0, stop_gradient=True)
    on_teacher, cross_light, cross_teacher, on_light = gradients(config)
    # d KL(q||p) / d logit(p) = p - q, halved by the mean over two samples.
    torch.testing.assert_close(on_teacher, torch.tensor([0.3, 0.3], dtype=torch.float64) / 2)
    torch.testing.assert_close(on_light, torch.tensor([-0.3, -0.3], dtype=torch.float64) / 2)
    assert float(cross_light.abs().max()) == float(cross_teacher.abs().max()) == 0.0


def test_stop_gradient_leaves_the_values_as_they_are() -> None:
    free = mutual_distillation_loss(TEACHER, LIGHT, MASK, DistillationConfig())
    stopped = mutual_distillation_loss(TEACHER, LIGHT, MASK, DistillationConfig(stop_gradient=True))
    assert float(free.total) == pytest.approx(float(stopped.total), abs=1e-15)


def test_selection_in_the_batch_follows_the_released_rule() -> None:
    # Pixels all alike: sample 3 has the worst teacher, sample 0 the worst light network; 2 disagrees more than 1.
    teacher = torch.tensor([4.0, 2.0, 3.0, -4.0]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    light = torch.tensor([-4.0, 2.5, 1.0, 2.0]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    selected = select_in_batch(teacher, light, torch.ones(4, 1, 2, 2), DistillationConfig(rule="batch_quantile"))
    assert selected.tolist() == [2, 1]


def test_pool_rules_follow_the_configuration() -> None:
    scores = torch.tensor([0.0, 3.0, 1.0, 2.0])
    assert select_from_pool(scores, DistillationConfig(), generator(0)).tolist() == [1, 3]
    cold = DistillationConfig(rule="softmax", softmax_temperature=1e-4, rate=0.25)
    assert select_from_pool(scores, cold, generator(0)).tolist() == [1]
    with pytest.raises(ConfigError, match="batch_quantile"):
        select_from_pool(scores, DistillationConfig(rule="batch_quantile"), generator(0))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lamda": 0.5}, "distillation.lamda: unknown key. Did you mean 'lam'"),
        ({"stop_gradients": True}, "Did you mean 'stop_gradient'"),
        ({"qqq": 1}, "Valid keys are lam, rate"),
        ({"lam": 1.5}, "distillation.lam"),
        ({"rate": 0}, "distillation.rate"),
        ({"rate": "half"}, "is not a number"),
        ({"stop_gradient": 1}, "is not true or false"),
        ({"rule": "best"}, "Use one of top, softmax, batch_quantile"),
        ({"temperature": 0.0}, "distillation.temperature"),
        ({"kl_weight": -1.0}, "distillation.kl_weight"),
        ({"kl_weight": 0.0, "supervised_weight": 0.0}, "distillation.kl_weight"),
        ({"kl_weight": float("inf")}, "distillation.kl_weight"),
    ],
)
def test_wrong_options_are_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DistillationConfig.from_dict(values)


def test_options_go_through_a_dict_and_back() -> None:
    config = DistillationConfig.from_dict({"lam": 0.3, "rule": "softmax", "kl_weight": 1})
    assert DistillationConfig.from_dict(config.to_dict()) == config
