# SPDX-License-Identifier: Apache-2.0
"""The task of a light network: what stays when nothing is said."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
import torch
from torch.nn import functional

from dsfedmed.training.precision import AUTOCAST
from dsfedmed.training.task import LabelledImages, TrainingTask


def test_plain_training_is_in_float32_without_workers() -> None:
    task = TrainingTask(2, False, functional.binary_cross_entropy_with_logits, None, 4)
    assert (task.precision, task.workers, task.where) == (AUTOCAST[0], 0, "light network")
    assert task.precision == "off"


def test_every_attribute_is_documented() -> None:
    assert TrainingTask.__doc__ is not None
    described = {line.split(":")[0].strip() for line in TrainingTask.__doc__.splitlines() if ":" in line}
    assert {field.name for field in fields(TrainingTask)} <= described


def test_neither_task_nor_pairs_change_in_a_loop() -> None:
    task = TrainingTask(1, True, functional.binary_cross_entropy_with_logits, None, 4)
    pairs = LabelledImages(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(FrozenInstanceError):
        task.batch_size = 8  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        pairs.images = pairs.label_maps  # type: ignore[misc]
