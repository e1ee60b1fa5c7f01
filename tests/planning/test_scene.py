# SPDX-License-Identifier: Apache-2.0
"""The steps of a planned run by hand, and held against a run that was really made."""

from __future__ import annotations

import pytest

from tests.planning.samples import FEDBN, SITES, scene


def test_the_steps_by_hand() -> None:
    found = scene(refit={"steps": 20, "fade": "annealed"})
    assert [found.passes(site) for site in found.sources] == [6, 2, 4]  # two passes of 3, 1 and 2 steps
    assert found.steps_a_round == 12
    assert (found.pool, found.selected) == (30, 15)
    assert found.distillations == [1, 3]  # after rounds 1 and 3 of four
    assert found.refit_steps == 15 + 10 + 5 + 0
    assert found.head_start_steps == 11
    # 4 rounds of 12, the head start, the repairs, and two distillations of 15 pairs in batches of 8
    assert found.own_steps == 48 + 11 + 30 + 2 * 2
    assert found.rounds_at_equal_steps == 8  # 93 / 12
    assert found.further_rounds == 4  # from the four of equal rounds on
    assert scene(refit={"steps": 20}, light={"rate_schedule": "cosine"}).further_rounds == 12  # 143 / 12, all anew


def test_distillation_at_the_sites_doubles_the_steps_from_then_on() -> None:
    found = scene(schedule={"distil_at": "sites"})
    assert found.alternating_rounds == 3  # rounds 2, 3 and 4
    assert found.own_steps == 12 * (4 + 3) + 11


def test_the_paper_s_order_distils_at_the_end_alone() -> None:
    found = scene(schedule={"order": "paper", "epochs": 5})
    assert (found.distillations, found.epochs_a_distillation, found.alternating_rounds) == ([4] * 5, 1, 0)


def test_in_one_shot_fedavg_has_as_many_rounds_as_make_equal_steps() -> None:
    found = scene(rounds=0)
    assert (found.own_steps, found.compared_rounds, found.further_rounds) == (11, 1, 0)


def test_a_method_without_a_set_has_its_rounds_alone() -> None:
    found = scene(FEDBN, refit={"steps": 20})
    assert not found.generates
    assert (found.own_steps, found.distillations, found.tried_networks) == (48, [], 0)


@pytest.mark.parametrize(("rounds", "held"), [(1, 0), (2, 1), (7, 1), (8, 2), (31, 2), (32, 3)])
def test_trials_are_held_after_2_8_and_32_rounds(rounds: int, held: int) -> None:
    assert scene().trials(rounds) == held


def test_two_sites_are_not_tried_against_each_other() -> None:
    two = scene(sites=SITES[:2])
    assert (two.trials(32), two.tried_networks) == (0, 0)
    assert scene(robust={"trials": False}).trials(32) == 0
    assert scene().tried_networks == 4  # all parts, and without each of three
