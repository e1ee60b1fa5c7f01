# SPDX-License-Identifier: Apache-2.0
"""Draws from a secret: what they look like, and what they depend on."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch

from dsfedmed.algorithms.private.secret_draws import SecretDraws, new_secret


def test_a_uniform_number_is_53_bits_of_shake_256() -> None:
    first = int.from_bytes(hashlib.shake_256(b"secret/sample/3").digest(8), "little")
    drawn = SecretDraws("secret").uniform(4, "sample", 3)
    assert drawn.dtype == torch.float64
    assert float(drawn[0]) == (first >> 11) / 2**53
    assert float(SecretDraws("secret").uniform(2, "sample", 3)[0]) == float(drawn[0])


def test_normal_numbers_are_those_of_box_and_muller() -> None:
    draws = SecretDraws("secret")
    (first, second), found = draws.uniform(2, "noise").tolist(), draws.normal(2, "noise").tolist()
    radius = math.sqrt(-2 * math.log(1 - first))
    assert found == pytest.approx([radius * math.cos(2 * math.pi * second), radius * math.sin(2 * math.pi * second)])
    assert draws.normal(1, "noise").tolist() == pytest.approx(found[:1])
    assert draws.normal(0, "noise").shape == (0,)


def test_many_normal_numbers_have_the_moments_and_tails_of_the_distribution() -> None:
    drawn = SecretDraws("secret").normal(200_001, "noise")
    assert bool(drawn.isfinite().all())
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.01)
    assert float((drawn.abs() > 1.96).double().mean()) == pytest.approx(0.05, abs=0.002)
    assert abs(float((drawn[:-1] * drawn[1:]).mean())) < 0.01


def test_every_bit_of_secret_and_label_counts() -> None:
    """PyTorch's generator is the warning: two seeds that differ above the 32nd bit give the same numbers."""
    seeds = (1, 1 + 2**32)
    poor = [torch.randn(5, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    assert torch.equal(*poor)
    ours = [SecretDraws(str(seed)).normal(5, "noise", 0) for seed in seeds]
    assert not torch.equal(*ours)
    draws = SecretDraws("a")
    assert not torch.equal(draws.normal(5, "noise", 0), draws.normal(5, "noise", 1))
    assert draws.seed("x") != draws.seed("y")
    assert draws.seed("x") == SecretDraws("a").seed("x") < 2**63


def test_a_new_secret_has_256_bits_and_is_another_each_time() -> None:
    found = {new_secret() for _ in range(3)}
    assert len(found) == 3
    assert all(len(bytes.fromhex(secret)) == 32 for secret in found)
