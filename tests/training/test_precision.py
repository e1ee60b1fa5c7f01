# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: what is computed in which format, and steps that overflow."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.training.precision import AUTOCAST, Autocast, autocast, gradient_scaler, gradient_step

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("kind", "dtype"), [("off", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_products_have_the_format_asked_for_and_weights_keep_theirs(kind: Autocast, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU, kind):
        assert layer(torch.ones(1, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32
    assert kind in AUTOCAST


@pytest.mark.parametrize("kind", AUTOCAST)
def test_a_step_by_hand_whatever_the_scale(kind: Autocast) -> None:
    weight = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    assert gradient_step(2.0 * weight, optimizer, gradient_scaler(CPU, kind))
    assert weight.item() == pytest.approx(2.8)


def test_an_overflow_leaves_the_step_out_and_halves_the_scale() -> None:
    weight = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = gradient_scaler(CPU, "float16")
    before = scaler.get_scale()
    assert not gradient_step(weight * torch.tensor(3e38), optimizer, scaler)
    assert weight.item() == 3.0
    assert scaler.get_scale() == before / 2
    assert gradient_step(weight, optimizer, scaler)
    assert weight.item() == pytest.approx(2.9)
