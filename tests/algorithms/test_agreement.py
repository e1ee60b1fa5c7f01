# SPDX-License-Identifier: Apache-2.0
"""The agreement rule pixel by pixel, its averages, its loss and its ramp-up, all by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.algorithms.agreement import (
    AgreementConfig,
    AgreementState,
    agreement_loss,
    ramp_up,
    refine,
    update_agreement,
)


def row(*values: float) -> Tensor:
    """A one-channel image of one row."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


TEACHER = row(0.99, 0.60, 0.02, 0.40)
LOCAL = row(0.80, 0.30, 0.90, 0.10)
SURE = AgreementState(torch.tensor(0.5), torch.tensor([[0.8, 0.9]]), 7)
"""Limits at tau_0 = 1: 0.8 where SAM says background, 0.9 where it says foreground."""
STRICT = AgreementConfig(threshold=1.0)


def test_each_pixel_by_hand() -> None:
    """Agree; dispute and SAM unsure; dispute and SAM sure; agree although SAM is unsure."""
    found = refine(TEACHER, LOCAL, SURE, STRICT)
    assert found.label.flatten().tolist() == [1, 1, 0, 0]
    torch.testing.assert_close(found.weight.flatten(), torch.tensor([1.0, 0.0, 0.98, 1.0]))
    assert found.dispute.flatten().tolist() == [False, True, True, False]


def test_background_and_foreground_have_limits_of_their_own() -> None:
    """SAM is 0.85 sure either way and in dispute: enough for background (0.8), too little for foreground (0.9)."""
    found = refine(row(0.15, 0.85), row(0.9, 0.1), SURE, STRICT)
    torch.testing.assert_close(found.weight.flatten(), torch.tensor([0.85, 0.0]))


def test_the_soft_term_at_another_temperature() -> None:
    """T = 2, SAM's p = 0.9 and 0.1 in dispute: sigmoid(ln 9 / 2) = 0.75 against 0.5, times T^2."""
    teacher = row(0.9, 0.1)
    nothing = refine(teacher, 1 - teacher, AgreementState(confidence=torch.ones(1, 2)), STRICT)
    found = agreement_loss(row(0, 0), nothing, teacher, AgreementConfig(soft_weight=1.0, temperature=2.0))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(found) == pytest.approx(4 * kl, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"weight": "scheduled"}, [1.0, 0.0, 0.49, 1.0]),
        ({"rule": "agreement_only"}, [1.0, 0.0, 0.0, 1.0]),
        ({"rule": "teacher_only"}, [0.99, 0.0, 0.98, 0.0]),
        ({"threshold": 0.5}, [1.0, 0.6, 0.98, 1.0]),
    ],
)
def test_the_options_by_hand(options: dict, weights: list[float]) -> None:
    config = AgreementConfig(**{"threshold": 1.0, **options})
    torch.testing.assert_close(refine(TEACHER, LOCAL, SURE, config).weight.flatten(), torch.tensor(weights))


def test_the_first_batch_sets_the_averages_and_later_ones_move_them_by_a_hundredth() -> None:
    first = update_agreement(AgreementState(), TEACHER, LOCAL)
    assert float(first.rate) == 0.5
    torch.testing.assert_close(first.confidence, torch.tensor([[(0.98 + 0.6) / 2, (0.99 + 0.6) / 2]]))
    second = update_agreement(first, row(0.9, 0.9), row(0.9, 0.9))
    assert float(second.rate) == pytest.approx(0.505)
    expected = torch.tensor([[0.79, 0.99 * 0.795 + 0.009]])  # no background was said: it stays
    torch.testing.assert_close(second.confidence, expected)
    assert second.steps == 2


def test_the_loss_by_hand() -> None:
    """Logits 0 everywhere: BCE ln 2; Dice over the three kept pixels; KL on the two in dispute."""
    found = refine(TEACHER, LOCAL, SURE, STRICT)
    config = AgreementConfig(threshold=1.0, soft_weight=0.0)
    dice = 1 - (2 * 0.5 * 1 + 1) / (3 * 0.5 + 1 + 1)
    hard = agreement_loss(row(0, 0, 0, 0), found, TEACHER, config)
    assert float(hard) == pytest.approx(math.log(2) + dice)
    soft = agreement_loss(row(0, 0, 0, 0), found, TEACHER, AgreementConfig(threshold=1.0, temperature=1.0))
    kl = sum(p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)) for p in (0.60, 0.02)) / 2
    assert float(soft) == pytest.approx(math.log(2) + dice + kl, rel=1e-4)


def test_no_pixel_kept_and_none_in_dispute_is_finite() -> None:
    teacher = row(0.6, 0.6)
    state = AgreementState(torch.tensor(0.0), torch.tensor([[1.0, 1.0]]), 1)
    nothing = refine(teacher, 1 - teacher, state, STRICT)
    assert float(nothing.weight.sum()) == 0
    assert math.isfinite(float(agreement_loss(row(0, 0), nothing, teacher, STRICT)))
    agreed = refine(teacher, teacher, state, STRICT)
    assert math.isfinite(float(agreement_loss(row(0, 0), agreed, teacher, STRICT)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_stay_in_their_range_and_agreement_always_counts_one(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    teacher, local = (torch.rand(2, 3, 4, 4, generator=random) for _ in range(2))
    state = update_agreement(AgreementState(confidence=torch.ones(3, 2)), teacher, local)
    found = refine(teacher, local, state, AgreementConfig())
    assert float(found.weight.min()) >= 0
    assert float(found.weight.max()) <= 1
    assert bool((found.weight[~found.dispute] == 1).all())
    assert float(found.dispute.float().mean()) == pytest.approx(1 - float(state.rate))


def test_the_loss_pulls_towards_the_supervision_and_not_where_there_is_none() -> None:
    logits = row(0, 0, 0, 0).requires_grad_()
    found = refine(TEACHER, LOCAL, SURE, STRICT)
    agreement_loss(logits, found, TEACHER, AgreementConfig(threshold=1.0, soft_weight=0.0)).backward()
    pulls = logits.grad.flatten().tolist()
    assert pulls[0] < 0 < pulls[2]
    assert pulls[1] == 0
    assert pulls[3] > 0


def test_ramp_up() -> None:
    assert ramp_up(0, 20) == pytest.approx(math.exp(-5))
    assert ramp_up(10, 20) == pytest.approx(math.exp(-1.25))
    assert ramp_up(20, 20) == ramp_up(50, 20) == 1.0
