# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.generator.copies.agreement import LEAST_REST, OwnImages, agreement, best_agreement, explained, laid
from dsfedmed.generator.copies.structure import structure
from tests.generator.pictures import pictures

UPRIGHT = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])


def test_what_a_correlation_explains_by_hand() -> None:
    found = explained(torch.tensor([0.0, 0.6, 0.8, 1.0, -0.9]))
    expected = [0.0, -math.log(0.8), -math.log(0.6), -0.5 * math.log(LEAST_REST), 0.0]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_an_upright_pose_lays_an_image_as_it_is() -> None:
    seen = structure(pictures(1, 1))
    wide = laid(seen, UPRIGHT)
    assert wide.shape == (1, 1, 68, 68)
    torch.testing.assert_close(wide[..., 2:66, 2:66], seen, atol=1e-4, rtol=0)
    assert float(wide[..., 0, :].abs().max()) == 0


def test_a_moved_image_agrees_and_its_shift_is_told() -> None:
    seen = structure(pictures(1, 1))
    amount, shift = agreement(seen, laid(seen, UPRIGHT))
    assert shift.tolist() == [[0.0, 0.0]]
    assert 1.0 < float(amount) <= -0.5 * math.log(LEAST_REST)
    moved = laid(seen, UPRIGHT).roll((1, -2), dims=(2, 3))
    there, shift = agreement(seen, moved)
    assert (shift * 32).tolist() == [[-1.0, 2.0]]
    assert float(there) == pytest.approx(float(amount), abs=0.1)
    opposite, _ = agreement(-seen, moved)
    torch.testing.assert_close(opposite, there)


def test_the_told_shift_brings_the_image_to_its_place() -> None:
    seen = structure(pictures(1, 1))
    off = UPRIGHT.clone()
    off[0, 4:] = torch.tensor([2 / 32, -1 / 32])
    _, shift = agreement(seen, laid(seen, off))
    off[0, 4:] += shift[0]
    torch.testing.assert_close(off, UPRIGHT)


def test_strangers_and_excluded_images_agree_little() -> None:
    own = OwnImages.of(pictures(6, 1))
    copies, others = best_agreement(pictures(6, 1), own), best_agreement(pictures(6, 2), own)
    assert float(copies.min()) > 2 * float(others.max())
    without = best_agreement(pictures(6, 1), own, torch.eye(6, dtype=torch.bool))
    assert float(without.max()) < 0.5 * float(copies.min())
    assert best_agreement(pictures(0, 1), own).shape == (0,)
