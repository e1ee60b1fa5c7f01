# SPDX-License-Identifier: Apache-2.0
"""Optimiser state through safetensors: training goes on bit by bit as if it had not stopped."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dsfedmed.errors import CheckpointError
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from tests.training.tiny_networks import TinyLight, squares


def steps(network: TinyLight, optimizer: torch.optim.Optimizer, count: int) -> None:
    images, labels = squares(4)
    for _ in range(count):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(images), labels.float()).backward()
        optimizer.step()


BUILDERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, amsgrad=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9),
    "plain_sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_resumed_training_equals_uninterrupted_training(light: TinyLight, tmp_path: Path, kind: str) -> None:
    optimizer = BUILDERS[kind](light.parameters())
    steps(light, optimizer, 3)
    optimizer.param_groups[0]["lr"] = 5e-3
    save_file(optimizer_state_tensors(optimizer), tmp_path / "optimizer.safetensors")
    resumed = copy.deepcopy(light)
    fresh = BUILDERS[kind](resumed.parameters())
    load_optimizer_state(fresh, load_file(tmp_path / "optimizer.safetensors"), "stage")
    assert fresh.param_groups[0]["lr"] == 5e-3
    steps(light, optimizer, 3)
    steps(resumed, fresh, 3)
    for one, two in zip(light.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_exported_state_is_a_copy(light: TinyLight) -> None:
    optimizer = torch.optim.Adam(light.parameters())
    steps(light, optimizer, 1)
    exported = optimizer_state_tensors(optimizer)
    before = exported["state.0.exp_avg"].clone()
    steps(light, optimizer, 1)
    assert torch.equal(exported["state.0.exp_avg"], before)


def test_the_state_of_another_network_is_refused(light: TinyLight) -> None:
    optimizer = torch.optim.Adam(light.parameters())
    steps(light, optimizer, 1)
    tensors = optimizer_state_tensors(optimizer)
    with pytest.raises(CheckpointError, match=r"round_3: state.0.exp_avg has shape"):
        load_optimizer_state(torch.optim.Adam(TinyLight(channels=3).parameters()), tensors, "round_3")
    with pytest.raises(CheckpointError, match="belongs to no parameter"):
        load_optimizer_state(torch.optim.Adam([torch.nn.Parameter(torch.zeros(8, 1, 3, 3))]), tensors, "round_3")
    with pytest.raises(CheckpointError, match="not an optimiser key"):
        load_optimizer_state(optimizer, {"nonsense": torch.zeros(1)}, "round_3")
