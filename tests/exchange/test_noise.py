# SPDX-License-Identifier: Apache-2.0
"""Clipping and noise by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.exchange.noise import add_gaussian, clip_to_norm, global_norm

UPDATE = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}


def test_the_norm_is_over_all_tensors_together() -> None:
    assert global_norm(UPDATE) == 5.0
    assert global_norm({}) == 0.0


def test_a_long_update_is_scaled_and_a_short_one_kept() -> None:
    clipped = clip_to_norm(UPDATE, 2.5)
    assert torch.equal(clipped["a"], torch.tensor([1.5, 0.0]))
    assert torch.equal(clipped["b"], torch.tensor([[2.0]]))
    assert all(torch.equal(tensor, UPDATE[name]) for name, tensor in clip_to_norm(UPDATE, 5.0).items())
    assert torch.equal(clip_to_norm({"z": torch.zeros(3)}, 1.0)["z"], torch.zeros(3))


def test_half_precision_is_clipped_in_float32() -> None:
    clipped = clip_to_norm({"a": torch.full((4,), 60000.0, dtype=torch.float16)}, 1.0)
    assert clipped["a"].dtype == torch.float32
    assert global_norm(clipped) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    ("tensor", "bound", "word"),
    [
        (torch.tensor([1, 2]), 1.0, "int64"),
        (torch.tensor([math.inf]), 1.0, "finite"),
        (torch.tensor([math.nan]), 1.0, "finite"),
        (torch.tensor([1.0]), 0.0, "above 0"),
    ],
)
def test_what_cannot_be_clipped_is_refused(tensor: torch.Tensor, bound: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        clip_to_norm({"a": tensor}, bound)


def test_noise_has_the_deviation_asked_for_and_repeats_with_its_seed() -> None:
    zeros = {"a": torch.zeros(200, 300), "b": torch.zeros(50_000)}
    noisy = add_gaussian(zeros, 0.25, seed=7)
    for tensor in noisy.values():
        assert float(tensor.std()) == pytest.approx(0.25, rel=0.02)
        assert float(tensor.mean()) == pytest.approx(0.0, abs=0.006)
    again = add_gaussian(dict(reversed(zeros.items())), 0.25, seed=7)
    assert all(torch.equal(noisy[name], again[name]) for name in zeros)
    assert not torch.equal(noisy["a"], add_gaussian(zeros, 0.25, seed=8)["a"])
    assert not torch.equal(noisy["a"].reshape(-1)[:50_000], noisy["b"])


def test_seeds_that_differ_above_their_32nd_bit_give_other_noise() -> None:
    """PyTorch's CPU generator would not tell them apart, and 2^32 seeds can be tried one by one."""
    noise = [add_gaussian({"a": torch.zeros(4)}, 1.0, seed)["a"] for seed in (7, 7 + 2**32)]
    assert not torch.equal(*noise)
