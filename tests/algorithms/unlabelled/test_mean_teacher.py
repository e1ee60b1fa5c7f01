# SPDX-License-Identifier: Apache-2.0
"""Mean Teacher by hand: the decay's warm-up, the running mean, and the consistency loss."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.unlabelled.mean_teacher import consistency, decay_after, follow


def test_the_decay_grows_until_its_limit() -> None:
    """1/2, 2/3, 3/4 ... and 0.9 from the ninth step on."""
    assert [decay_after(step, 0.9) for step in (1, 2, 3)] == pytest.approx([1 / 2, 2 / 3, 3 / 4])
    assert [decay_after(step, 0.9) for step in (8, 9, 10, 1000)] == pytest.approx([8 / 9, 0.9, 0.9, 0.9])


def test_the_teacher_is_the_plain_mean_while_the_decay_grows() -> None:
    """It begins at 3 and the student is at 6, 0 and 11: (3 + 6) / 2, then with 0 a third, then with 11 a quarter."""
    teacher = {"w": torch.tensor([3.0])}
    seen = []
    for step, student in enumerate((6.0, 0.0, 11.0), start=1):
        follow(teacher, {"w": torch.tensor([student])}, decay_after(step, 0.99))
        seen.append(teacher["w"].item())
    assert seen == pytest.approx([4.5, 3.0, 5.0])


def test_beyond_the_limit_it_forgets() -> None:
    teacher = {"w": torch.tensor([1.0])}
    follow(teacher, {"w": torch.tensor([0.0])}, 0.75)
    assert teacher["w"].item() == 0.75


def test_the_loss_by_hand() -> None:
    """q = 0.75 against 0.25 and 0.75: (0.5^2 + 0) / 2, and its gradient 2 (q - p) q (1 - q) / 2."""
    logits = torch.full((1, 1, 1, 2), math.log(3)).requires_grad_()
    loss = consistency(logits, torch.tensor([[[[0.25, 0.75]]]]))
    assert loss.item() == pytest.approx(0.125)
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.flatten(), torch.tensor([0.5 * 0.75 * 0.25, 0.0]))
