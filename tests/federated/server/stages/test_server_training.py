# SPDX-License-Identifier: Apache-2.0
"""The light network trained at the server: the best epoch by what it is told, with its steps; repeatable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.server_training import Trained, train_at_server
from tests.federated.tiny import FakeRun, tiny_settings

IMAGES = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = (IMAGES > 0.5).to(torch.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return FakeRun(tmp_path, tiny_settings(), lambda *_: pytest.fail("nothing is asked of a site"))


class Validation:
    """Says the Dice of the test, epoch by epoch, and keeps the weights it was shown."""

    def __init__(self, *dice: float) -> None:
        self.dice, self.seen = list(dice), []

    def __call__(self, network: nn.Module) -> float:
        self.seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return self.dice[len(self.seen) - 1]


def trained(run: Any, plan: FederationPlan, validation: Validation, name: str = "alone") -> Trained:
    return train_at_server(run, plan, name, IMAGES, LABELS, validation, len(validation.dice))


def test_the_first_of_the_best_epochs_is_kept_with_its_steps(run: Any, plan: FederationPlan) -> None:
    """Six images in batches of four: two steps an epoch."""
    validation = Validation(0.3, 0.7, 0.7, 0.5)
    found = trained(run, plan, validation)
    assert (found.epoch, found.dice, found.best_steps, found.epochs, found.steps) == (2, 0.7, 4, 4, 8)
    assert all(torch.equal(found.weights[name], validation.seen[1][name]) for name in found.weights)
    assert any(not torch.equal(found.weights[name], validation.seen[2][name]) for name in found.weights)
    assert run.progress.lines[1] == "2/4 alone  validation Dice 70.0"
    found.record(run, "labels_only")
    assert run.record.data["selected"]["labels_only"] == {"round": 2, "local_steps": 4, "validation_dice": 0.7}
    assert run.record.data["budgets"]["labels_only"] == {"rounds": 4, "local_steps": 8}


def test_it_repeats_to_the_last_bit_and_the_name_is_part_of_the_seed(run: Any, plan: FederationPlan) -> None:
    first, again = (trained(run, plan, Validation(0.5)).weights for _ in range(2))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    other = trained(run, plan, Validation(0.5), "other").weights
    assert any(not torch.equal(other[name], tensor) for name, tensor in first.items())
