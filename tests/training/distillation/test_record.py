# SPDX-License-Identifier: Apache-2.0
"""The record of an epoch by hand."""

from __future__ import annotations

import json

import pytest
import torch

from dsfedmed.training.distillation.record import HISTOGRAM_BINS, DistillationRecord, PoolScores, epoch_record

SCORES = PoolScores(
    teacher_loss=torch.tensor([1.0, 2.0, 3.0, 6.0]),
    student_loss=torch.zeros(4),
    disagreement=torch.tensor([0.5, 0.5, 1.0, 2.0]),
    scores=torch.tensor([0.0, 1.0, 2.0, 5.0]),
)
STEPS = [
    {"teacher_supervised": 1.0, "student_supervised": 4.0, "teacher_kl": 0.25, "student_kl": 0.5},
    {"teacher_supervised": 3.0, "student_supervised": 2.0, "teacher_kl": 0.75, "student_kl": 0.5},
]


def record() -> DistillationRecord:
    return epoch_record(7, SCORES, torch.tensor([1, 3]), STEPS, 2.5, overflows=1)


def test_means_of_pool_and_steps_by_hand() -> None:
    found = record()
    assert (found.epoch, found.pool, found.selected, found.steps) == (7, 4, 2, 2)
    assert (found.score_mean, found.selected_score_mean) == (2.0, 3.0)
    assert found.score_std == pytest.approx(3.5**0.5)  # squares of -2, -1, 0, 3 sum to 14
    assert (found.pool_teacher_loss, found.pool_disagreement) == (3.0, 1.0)
    assert (found.teacher_loss, found.student_loss) == (2.0, 3.0)
    assert found.kl == 0.5 + 0.5
    assert (found.seconds, found.overflows) == (2.5, 1)


def test_histograms_have_the_scores_in_bins_of_a_quarter() -> None:
    """Twenty bins from 0 to 5: score 1 begins bin 4, score 2 bin 8, and the largest closes the last."""
    found = record()
    assert found.histogram_edges == pytest.approx([step / 4 for step in range(HISTOGRAM_BINS + 1)])
    assert {place: count for place, count in enumerate(found.histogram_pool) if count} == {0: 1, 4: 1, 8: 1, 19: 1}
    assert {place: count for place, count in enumerate(found.histogram_selected) if count} == {4: 1, 19: 1}


def test_equal_scores_still_have_a_bin() -> None:
    same = PoolScores(torch.ones(3), torch.ones(3), torch.ones(3), torch.full((3,), 2.0))
    found = epoch_record(0, same, torch.tensor([0]), STEPS, 0.0)
    assert sum(found.histogram_pool) == 3
    assert (found.histogram_edges[0], found.histogram_edges[-1]) == (2.0, 3.0)


def test_it_is_ready_for_json() -> None:
    assert DistillationRecord(**json.loads(json.dumps(record().to_dict()))).kl == record().kl
