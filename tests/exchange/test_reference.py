# SPDX-License-Identifier: Apache-2.0
"""The moving reference: server and sites at the same bits, no drift from the master, and what would drift."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.exchange.compression import add
from dsfedmed.exchange.reference import Reference, advance
from dsfedmed.exchange.tensors import digest
from dsfedmed.exchange.updates import decode, shapes_of


def _weights(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(8, 200, generator=draws), "b": torch.randn(8, generator=draws)}


def test_the_first_reference_is_the_master_in_half_precision() -> None:
    master = _weights(0)
    reference, encoded = advance(Reference(), master)
    assert encoded is None
    assert torch.equal(reference.weights["w"], master["w"].half().float())
    assert reference.sha256 == digest(reference.weights)
    assert reference.master == digest(master)


def test_a_master_that_did_not_change_is_not_sent_again() -> None:
    first, _ = advance(Reference(), _weights(0))
    again, encoded = advance(first, _weights(0))
    assert encoded is None
    assert again is first


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(deadline=None, max_examples=20)
def test_a_site_that_applies_every_difference_holds_the_server_s_bits_and_stays_near_the_master(
    seed: int, rounds: int
) -> None:
    master = _weights(seed)
    reference, _ = advance(Reference(), master)
    site = reference.weights
    for number in range(rounds):
        step = {name: tensor * 1e-2 for name, tensor in _weights(seed + number + 1).items()}
        master = add(master, step)
        reference, encoded = advance(reference, master)
        assert encoded is not None
        site = add(site, decode(encoded.tensors, shapes_of(master), "int8", encoded.layout, "server"))
        assert digest(site) == reference.sha256
    # A step of at most about 5e-2 in 127 levels, and float32.
    assert (master["w"] - site["w"]).abs().max() < 5e-2 / 127
    assert (master["b"] - site["b"]).abs().max() < 1e-4


def _drift(add_to_master: bool) -> float:
    """Sites that move one weight by 100 and all others by 0.3 a round, 20 rounds; how far those others come."""
    update = {"w": torch.full((1, 2048), 0.3)}
    update["w"][0, 0] = 127.0
    master = {"w": torch.zeros(1, 2048)}
    reference, _ = advance(Reference(), master)
    for _ in range(20):
        master = add(master if add_to_master else reference.weights, update)
        reference, _ = advance(reference, master)
    return float(reference.weights["w"][0, 1])


def test_the_mean_difference_belongs_to_the_master_and_not_to_the_reference() -> None:
    """Added to the reference, what rounding left behind would be forgotten: 0.3 of a step is lost every round."""
    assert abs(_drift(add_to_master=True) - 6.0) < 0.51
    assert _drift(add_to_master=False) == 0.0
