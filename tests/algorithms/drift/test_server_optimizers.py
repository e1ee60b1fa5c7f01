# SPDX-License-Identifier: Apache-2.0
"""The server's optimisers by hand on one number, and against torch's own where the two are the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dsfedmed.algorithms.drift.server_optimizers import RULES, ServerOptimizer

Means = list[float]


def walk(server: ServerOptimizer, differences: Means, start: float = 0.0) -> Means:
    """Take a step for each difference of the sites' mean, and return the weight after each."""
    weights, memory, path = {"w": torch.tensor([start])}, dict[str, Tensor](), []
    for d in differences:
        weights, memory = server.step(weights, {"w": weights["w"] + d}, memory)
        path.append(weights["w"].item())
    return path


def test_momentum_by_hand() -> None:
    """v = 1, then 0.5 * 1 + 2 = 2.5; w = 0.1, then 0.1 + 0.25."""
    assert walk(ServerOptimizer("momentum", 0.1, 0.5), [1.0, 2.0]) == pytest.approx([0.1, 0.35])


def test_a_rate_of_one_without_momentum_is_fedavg() -> None:
    assert walk(ServerOptimizer("momentum", 1.0, 0.0), [1.0, -3.0, 0.5], start=2.0) == [3.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("rule", "seconds"),
    [
        ("adagrad", (0.01 + 4, 0.01 + 4 + 1)),
        ("adam", (0.75 * 0.01 + 0.25 * 4, 0.75 * (0.75 * 0.01 + 0.25 * 4) + 0.25 * 1)),
        # v = 0.01 is below d^2 = 4: it rises by a quarter of that; then 1.01 is above 1: it falls by a quarter of 1.
        ("yogi", (0.01 + 0.25 * 4, 0.01 + 0.25 * 4 - 0.25 * 1)),
    ],
)
def test_the_adaptive_ones_by_hand(rule: str, seconds: tuple[float, float]) -> None:
    """tau 0.1, so that v starts at 0.01; d = 2, then -1; m = 1, then 0.5 * 1 + 0.5 * (-1) = 0."""
    path = walk(ServerOptimizer(rule, 0.3, momentum=0.5, second=0.75, tau=0.1), [2.0, -1.0])  # type: ignore[arg-type]
    first = 0.3 * 1 / (math.sqrt(seconds[0]) + 0.1)
    assert path == pytest.approx([first, first], rel=1e-6), "m is 0 in the second round"
    third = walk(ServerOptimizer(rule, 0.3, 0.0, 0.75, 0.1), [2.0, -1.0])[1]  # type: ignore[arg-type]
    step = 0.3 * 2 / (math.sqrt(seconds[0]) + 0.1) - 0.3 * 1 / (math.sqrt(seconds[1]) + 0.1)
    assert third == pytest.approx(step, rel=1e-5)


def test_momentum_is_torchs_sgd_which_nvflares_fedopt_runs() -> None:
    """Both on fixed tensors: the negative difference is the gradient."""
    generator = torch.Generator().manual_seed(0)
    start, differences = torch.randn(3, 2, generator=generator), torch.randn(5, 3, 2, generator=generator)
    theirs = start.clone().requires_grad_()
    sgd = torch.optim.SGD([theirs], lr=0.7, momentum=0.6)
    weights, memory = {"w": start}, dict[str, Tensor]()
    for d in differences:
        theirs.grad = -d
        sgd.step()
        weights, memory = ServerOptimizer("momentum", 0.7, 0.6).step(weights, {"w": weights["w"] + d}, memory)
        torch.testing.assert_close(weights["w"], theirs.detach())


def test_adagrad_is_torchs_but_for_where_v_starts() -> None:
    """torch's has no m and adds its eps as tau is added here."""
    differences = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    theirs = torch.zeros(5, requires_grad=True)
    adagrad = torch.optim.Adagrad([theirs], lr=0.2, initial_accumulator_value=0.05**2, eps=0.05)
    weights, memory = {"w": torch.zeros(5)}, dict[str, Tensor]()
    for d in differences:
        theirs.grad = -d
        adagrad.step()
        server = ServerOptimizer("adagrad", 0.2, momentum=0.0, tau=0.05)
        weights, memory = server.step(weights, {"w": weights["w"] + d}, memory)
        torch.testing.assert_close(weights["w"], theirs.detach())


@pytest.mark.parametrize("rule", RULES)
def test_every_number_has_its_own_memory(rule: str) -> None:
    server = ServerOptimizer(rule, 0.5)  # type: ignore[arg-type]
    together, memory = {"w": torch.tensor([0.0, 0.0])}, dict[str, Tensor]()
    for d in ([1.0, -2.0], [0.5, 4.0]):
        together, memory = server.step(together, {"w": together["w"] + torch.tensor(d)}, memory)
    alone = [walk(server, [1.0, 0.5])[-1], walk(server, [-2.0, 4.0])[-1]]
    assert together["w"].tolist() == pytest.approx(alone)
