# SPDX-License-Identifier: Apache-2.0
"""Soft labels: error bound of the 8-bit levels, validation on arrival, test-time flips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.training.distillation.soft_labels import (
    MAX_ERROR,
    SoftLabelOptions,
    decode_soft,
    encode_soft,
    teacher_soft_labels,
)
from dsfedmed.training.pool import TensorPool
from tests.training.tiny_networks import SIZE, TinyTeacher, squares


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=16))
def test_round_trip_stays_within_half_a_step(values: list[float]) -> None:
    probabilities = torch.tensor(values).view(1, 1, 1, -1)
    decoded = decode_soft(encode_soft(probabilities), count=1, num_classes=1)
    assert float((decoded - probabilities).abs().max()) <= MAX_ERROR + 1e-7
    assert torch.equal(encode_soft(decoded), encode_soft(probabilities))


def test_ends_are_exact() -> None:
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert torch.equal(decode_soft(encode_soft(ends), 1, 1), ends)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf")])
def test_what_is_no_probability_is_not_encoded(value: float) -> None:
    with pytest.raises(DSFedMedError, match="1 values"):
        encode_soft(torch.tensor([value, 0.5]).view(1, 1, 1, 2))


@pytest.mark.parametrize(
    "levels",
    [
        torch.zeros(2, 1, 4, 4),
        torch.zeros(3, 1, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 2, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 1, 4, dtype=torch.uint8),
        torch.zeros(2, 1, 0, 4, dtype=torch.uint8),
    ],
)
def test_another_payload_than_announced_is_refused(levels: torch.Tensor) -> None:
    with pytest.raises(PayloadError, match="soft labels of site_a"):
        decode_soft(levels, count=2, num_classes=1, where="soft labels of site_a")


def test_labels_are_the_teachers_probabilities_in_the_order_asked_for(teacher: TinyTeacher) -> None:
    pool = TensorPool(*squares(6))
    levels = teacher_soft_labels(teacher, pool, torch.tensor([4, 1, 5]), SoftLabelOptions(SIZE, batch_size=2))
    with torch.no_grad():
        expected = torch.sigmoid(teacher(pool.images([4, 1, 5])))
    assert float((decode_soft(levels, 3, 1) - expected).abs().max()) <= MAX_ERROR + 1e-6


def test_a_shorter_format_stays_near(teacher: TinyTeacher) -> None:
    pool = TensorPool(*squares(6))
    formats: set[torch.dtype] = set()
    exact = teacher_soft_labels(teacher, pool, range(6), SoftLabelOptions(SIZE, flips=True))
    teacher.mask_decoder[1].register_forward_hook(lambda module, images, logits: formats.add(logits.dtype))
    short = teacher_soft_labels(teacher, pool, range(6), SoftLabelOptions(SIZE, flips=True, precision="bfloat16"))
    assert formats == {torch.bfloat16}
    assert float((decode_soft(exact, 6, 1) - decode_soft(short, 6, 1)).abs().max()) <= 0.01


def test_labels_shrink_to_the_size_asked_for(teacher: TinyTeacher) -> None:
    done: list[int] = []
    levels = teacher_soft_labels(
        teacher, TensorPool(*squares(3)), range(3), SoftLabelOptions(SIZE // 2, batch_size=2), done.append
    )
    assert levels.shape == (3, 1, SIZE // 2, SIZE // 2)
    assert levels.dtype == torch.uint8
    assert done == [2, 3]


def test_test_time_flips_make_the_labels_follow_flips_of_the_image(teacher: TinyTeacher) -> None:
    images, labels = squares(3)
    flipped = TensorPool(images.flip(2), labels.flip(2))
    straight = teacher_soft_labels(teacher, TensorPool(images, labels), range(3), SoftLabelOptions(SIZE, flips=True))
    mirrored = teacher_soft_labels(teacher, flipped, range(3), SoftLabelOptions(SIZE, flips=True))
    assert int((straight.int() - mirrored.flip(2).int()).abs().max()) <= 1
    plain = teacher_soft_labels(teacher, TensorPool(images, labels), range(3), SoftLabelOptions(SIZE))
    assert int((straight.int() - plain.int()).abs().max()) > 1


def test_an_empty_selection_is_refused(teacher: TinyTeacher) -> None:
    with pytest.raises(DSFedMedError, match="no sample was selected"):
        teacher_soft_labels(teacher, TensorPool(*squares(2)), [], SoftLabelOptions(SIZE))
