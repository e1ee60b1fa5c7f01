# SPDX-License-Identifier: Apache-2.0
"""A pre-training between two steps: what is kept makes the same next step."""

from __future__ import annotations

import json
import math

import pytest
import torch

from dsfedmed.errors import CheckpointError
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.training.teacher.pretrain_state import PretrainState


def begun(seed: int) -> PretrainState:
    """A tiny network, Adam, and draws."""
    network = build_promptless_sam("tiny", 32, 1, seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    return PretrainState(network, optimizer, torch.Generator().manual_seed(seed))


def step(state: PretrainState) -> None:
    images = torch.rand(1, 3, 32, 32, generator=state.draws)
    state.optimizer.zero_grad()
    state.network(images).square().mean().backward()
    state.optimizer.step()
    state.step += 1


def test_restored_it_makes_the_next_step_to_the_last_bit() -> None:
    first, second = begun(1), begun(2)
    step(first)
    first.loss, first.seconds = 0.5, 3.0
    info, tensors = json.loads(json.dumps(first.info())), first.tensors()
    step(first)
    second.restore(info, tensors)
    assert (second.step, second.loss, second.seconds) == (1, 0.5, 3.0)
    step(second)
    after = second.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in first.network.state_dict().items())


def test_what_was_kept_does_not_change_with_further_training() -> None:
    state = begun(1)
    step(state)
    kept = state.tensors()
    before = {name: tensor.clone() for name, tensor in kept.items()}
    step(state)
    assert all(torch.equal(before[name], tensor) for name, tensor in kept.items())
    now = state.tensors()
    assert any(not torch.equal(now[name], tensor) for name, tensor in kept.items())


def test_before_the_first_step_there_is_no_loss() -> None:
    assert math.isnan(begun(0).info()["loss"])


def test_the_optimiser_of_another_network_is_refused() -> None:
    state = begun(1)
    step(state)
    tensors = {name: value[:1] if name.startswith("adam/") and value.ndim else value
               for name, value in state.tensors().items()}  # fmt: skip
    with pytest.raises(CheckpointError, match="pre-training"):
        begun(2).restore(state.info(), tensors)
