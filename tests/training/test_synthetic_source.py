# SPDX-License-Identifier: Apache-2.0
"""Synthetic pairs: what fits together, the seeded draw, and the loss by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.soft_divergence import soft_kl
from dsfedmed.errors import DataError
from dsfedmed.seeds import generator
from dsfedmed.training.synthetic_source import SyntheticSource, synthetic_batches, synthetic_loss
from dsfedmed.training.task import TrainingTask
from tests.training.tiny_networks import TinyLight, squares

bce = functional.binary_cross_entropy_with_logits
TASK = TrainingTask(1, True, bce, None, 4)
IMAGES, LABELS = squares(10, seed=2)


def numbers(images: Tensor) -> list[int]:
    """Which of ``IMAGES`` these are."""
    return [int((image == IMAGES).flatten(1).all(1).nonzero().item()) for image in images]


@pytest.mark.parametrize(
    ("images", "labels", "soft", "words"),
    [
        (4, 4, 3, "4 images, 4 label maps and 3 soft labels"),
        (4, 3, None, "4 images, 3 label maps and None soft labels"),
        (0, 0, None, "0 images"),
    ],
)
def test_what_does_not_pair_up_is_refused(images: int, labels: int, soft: int | None, words: str) -> None:
    advice = None if soft is None else LABELS[:soft].float()
    with pytest.raises(DataError, match=words):
        SyntheticSource(IMAGES[:images], LABELS[:labels], advice)


def test_only_so_many_are_drawn_as_the_steps_need() -> None:
    source = SyntheticSource(IMAGES, LABELS)
    batches = itertools.islice(synthetic_batches(source, steps=2, task=TASK, seed=6), 4)
    seen = [numbers(batch["image"]) for batch in batches]
    drawn = torch.randperm(10, generator=generator(6))[:8].tolist()
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == sorted(drawn)


def test_its_own_batch_size_precedes_the_tasks() -> None:
    source = SyntheticSource(IMAGES, LABELS, batch_size=3)
    batches = itertools.islice(synthetic_batches(source, steps=9, task=TASK, seed=6), 4)
    assert [len(batch["image"]) for batch in batches] == [3, 3, 3, 1]


def test_levels_become_images_and_probabilities_at_the_images_size() -> None:
    levels = torch.full((10, 1, 8, 8), 51, dtype=torch.uint8)
    source = SyntheticSource((IMAGES.clamp(0, 1) * 255).to(torch.uint8), LABELS, levels)
    batch = next(synthetic_batches(source, steps=1, task=TASK, seed=0))
    assert batch["image"].dtype == torch.float32
    assert float(batch["image"].max()) <= 1
    torch.testing.assert_close(batch["soft"], torch.full((4, 1, 16, 16), 0.2))


@pytest.mark.parametrize("divergence", ["forward", "symmetric"])
def test_the_loss_by_hand(light: TinyLight, divergence: str) -> None:
    soft = torch.rand(10, 1, 16, 16, generator=generator(1))
    source = SyntheticSource(IMAGES, LABELS, soft, 0.5, 3.0, divergence)  # type: ignore[arg-type]
    batch = {"image": IMAGES, "label": LABELS, "soft": soft}
    with torch.no_grad():
        logits = light(IMAGES)
        distance = soft_kl(soft, logits, symmetric=divergence == "symmetric").mean()
        expected = 0.5 * bce(logits, LABELS.float()) + 3.0 * distance
        torch.testing.assert_close(synthetic_loss(light, batch, source, TASK), expected)


def test_without_soft_labels_or_their_weight_only_the_masks_count(light: TinyLight) -> None:
    batch = {"image": IMAGES, "label": LABELS}
    with torch.no_grad():
        expected = 0.25 * bce(light(IMAGES), LABELS.float())
        plain = synthetic_loss(light, batch, SyntheticSource(IMAGES, LABELS), TASK)
        soft = LABELS.float()
        unheard = SyntheticSource(IMAGES, LABELS, soft, kl_weight=0.0)
        silent = synthetic_loss(light, {**batch, "soft": soft}, unheard, TASK)
    torch.testing.assert_close(plain, expected)
    torch.testing.assert_close(silent, expected)
