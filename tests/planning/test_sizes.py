# SPDX-License-Identifier: Apache-2.0
"""The numbers of the networks are those that a run sends, and the generator's are counted without its weights."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import specs_of
from dsfedmed.federated.server.stages.teacher import with_low_rank
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.planning.sizes import Numbers, count_numbers
from tests.federated.tiny import tiny_plan, tiny_settings


def test_the_numbers_are_those_of_what_travels() -> None:
    plan = tiny_plan(tiny_settings())
    found = count_numbers(plan, generates=True)
    base = build_base(plan.generator)
    branch = branch_state(build_branch(embedded_base(base, plan.generator), plan.generator))
    assert found.light == sum(tensor.numel() for tensor in plan.start_weights().values())
    assert found.base == sum(tensor.numel() for tensor in base.state_dict().values())
    assert found.branch == sum(tensor.numel() for tensor in branch.values())
    assert len(specs_of(branch)) > 1
    assert count_numbers(plan, generates=False) == Numbers(found.light, found.teacher)
    low_rank = count_numbers(plan, generates=False, low_rank=True).low_rank
    assert low_rank == sum(
        tensor.numel() for tensor in trained_tensors(with_low_rank(plan, plan.teacher_network())).values()
    )


def test_a_stable_diffusion_is_refused() -> None:
    plan = tiny_plan(tiny_settings(generator_model={"base": "stable_diffusion"}))
    with pytest.raises(ConfigError, match=r"generator_model\.base: a plan is made for the embedded base"):
        count_numbers(plan, generates=True)
