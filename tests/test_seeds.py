# SPDX-License-Identifier: Apache-2.0
"""Seeds: replayable, within range, and different for every part and order."""

from __future__ import annotations

import hashlib

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.seeds import derive_seed, generator, global_draws

PART = st.one_of(st.integers(0, 999), st.text(st.characters(codec="ascii", exclude_characters="/"), min_size=1))


def test_a_seed_is_the_upper_31_bits_of_the_hash_of_run_and_parts() -> None:
    expected = int(hashlib.sha256(b"7/site_a/base/3").hexdigest()[:8], 16) >> 1
    assert derive_seed(7, "site_a", "base", 3) == expected


@given(st.integers(0, 2**31), st.lists(PART, max_size=4))
@settings(deadline=None)
def test_seeds_repeat_and_stay_in_range(run_seed: int, parts: list[str | int]) -> None:
    seed = derive_seed(run_seed, *parts)
    assert seed == derive_seed(run_seed, *parts)
    assert 0 <= seed < 2**31
    generator(seed)


@given(st.integers(0, 1000), st.lists(PART, min_size=2, max_size=4, unique_by=str))
@settings(deadline=None)
def test_run_order_and_number_of_parts_all_matter(run_seed: int, parts: list[str | int]) -> None:
    seeds = {
        derive_seed(run_seed, *parts),
        derive_seed(run_seed + 1, *parts),
        derive_seed(run_seed, *reversed(parts)),
        derive_seed(run_seed, *parts[1:]),
    }
    assert len(seeds) == 4


def test_sites_rounds_and_stages_do_not_share_seeds() -> None:
    seeds = {derive_seed(0, f"site_{s}", arm, r) for s in "abcd" for arm in ("dsfedmed", "fedavg") for r in range(100)}
    assert len(seeds) == 800


def test_a_generator_starts_at_its_seed_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = torch.rand(4, generator=generator(5))
    assert torch.equal(first, torch.rand(4, generator=generator(5)))
    assert not torch.equal(first, torch.rand(4, generator=generator(6)))
    assert torch.equal(before, torch.get_rng_state())


def test_global_draws_repeat_inside_and_leave_no_trace_outside() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    first = torch.rand(2)
    draws = []
    for _ in range(2):
        with global_draws(11):
            draws.append(torch.nn.functional.dropout(torch.ones(64)))
    with global_draws(12):
        assert not torch.equal(draws[0], torch.nn.functional.dropout(torch.ones(64)))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(torch.cat([first, torch.rand(2)]), expected)
