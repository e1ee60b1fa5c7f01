# SPDX-License-Identifier: Apache-2.0
"""SCAFFOLD by hand on one weight, against NVFlare's helper, and on two sites that pull apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.algorithms.drift.control_variates import (
    CONTROL,
    ControlledMean,
    corrected_gradients,
    without_controls,
    zero_controls,
)
from dsfedmed.errors import PayloadError

W, C = "weight", f"{CONTROL}weight"


def line(weight: float) -> nn.Linear:
    """x -> w x."""
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(weight)
    return network


def descend(network: nn.Linear, curve: float, aim: float, steps: int, rate: float) -> None:
    """Gradient descent on curve / 2 (w - aim)^2; its gradient is curve (w - aim)."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (curve / 2 * (network.weight - aim).square()).sum().backward()
        optimizer.step()


def test_two_steps_by_hand() -> None:
    """From w = 4, aim 0, curve 1, rate 0.5, c_k = 1, c = 3, so that 2 is added to every gradient.

    g = 4, step 0.5 * 6: w = 1;  g = 1, step 0.5 * 3: w = -0.5.  c_k' = (4 + 1) / 2 = 2.5, and by option II
    1 - 3 + (4 - (-0.5)) / (2 * 0.5) = 2.5.
    """
    network, own, common = line(4.0), {C: torch.tensor([[1.0]])}, {C: torch.tensor([[3.0]])}
    with corrected_gradients(network, own, common) as seen:
        descend(network, curve=1.0, aim=0.0, steps=2, rate=0.5)
    assert network.weight.item() == -0.5
    assert seen.own_controls(own)[C].item() == 2.5
    descend(network, curve=1.0, aim=0.0, steps=1, rate=0.5)
    assert network.weight.item() == -0.25, "behind the block gradients are their own again"


def test_a_site_that_took_no_step_keeps_its_control() -> None:
    network, own = line(1.0), {C: torch.tensor([[7.0]])}
    with corrected_gradients(network, own, zero_controls(network)) as seen:
        pass
    assert seen.own_controls(own)[C].item() == 7.0


def test_the_same_as_nvflares_helper() -> None:
    """Option II on a network of two layers, five steps of plain gradient descent on fixed tensors."""
    helper_module = pytest.importorskip("nvflare.app_opt.pt.scaffold")
    generator = torch.Generator().manual_seed(3)
    images, aims = torch.randn(8, 4, generator=generator), torch.randn(8, 2, generator=generator)
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    theirs, start = (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)) for _ in range(2))
    for network in (theirs, start):
        network.load_state_dict(ours.state_dict())
    own = {name: torch.randn(t.shape, generator=generator) for name, t in zero_controls(ours).items()}
    common = {name: torch.randn(t.shape, generator=generator) for name, t in own.items()}

    helper = helper_module.PTScaffoldHelper()
    helper.init(theirs)
    helper.c_local.load_state_dict({name.removeprefix(CONTROL): t for name, t in own.items()})
    helper.c_global.load_state_dict({name.removeprefix(CONTROL): t for name, t in common.items()})
    c_global, c_local = helper.get_params()
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.05) for network in (ours, theirs)]
    with corrected_gradients(ours, own, common) as seen:
        for _ in range(5):
            for network, optimizer in zip((ours, theirs), optimizers, strict=True):
                optimizer.zero_grad()
                (network(images) - aims).square().mean().backward()
                optimizer.step()
            helper.model_update(theirs, 0.05, c_global, c_local)
    helper.terms_update(theirs, 0.05, c_global, c_local, start)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)
    moved = seen.own_controls(own)
    for name, delta in helper.get_delta_controls().items():
        ours_moved = moved[CONTROL + name] - own[CONTROL + name]
        torch.testing.assert_close(ours_moved, torch.as_tensor(delta), rtol=1e-4, atol=1e-5)


def test_the_server_by_hand() -> None:
    """Weights by images, (1 * 4 + 3 * 8) / 4 = 7; controls over all four sites, of which two answered: (2 + 6) / 4."""
    mean = ControlledMean({W: torch.zeros(1), C: torch.zeros(1)}, sites=4)
    mean.add("site_a", {W: torch.tensor([4.0]), C: torch.tensor([2.0])}, 1)
    mean.add("site_b", {W: torch.tensor([8.0]), C: torch.tensor([6.0])}, 3)
    assert {name: tensor.item() for name, tensor in mean.result().items()} == {W: 7.0, C: 2.0}


def test_a_refused_update_leaves_the_controls_alone() -> None:
    mean = ControlledMean({W: torch.zeros(1), C: torch.zeros(1)}, sites=2)
    mean.add("site_a", {W: torch.tensor([1.0]), C: torch.tensor([1.0])}, 1)
    with pytest.raises(PayloadError):
        mean.add("site_b", {W: torch.tensor([float("nan")]), C: torch.tensor([1.0])}, 1)
    assert mean.result()[C].item() == 0.5


def test_where_sites_pull_apart_it_finds_the_common_minimum_and_fedavg_does_not() -> None:
    """1/2 (w + 1)^2 and 10/2 (w - 1)^2 have their common minimum at 9/11; ten steps a round at rate 0.05.

    FedAvg ends where each site's ten steps balance: a = 1 - 0.95^10 = 0.4013 of the way to -1 and
    b = 1 - 0.5^10 = 0.9990 to 1, at (b - a) / (a + b) = 0.4269.
    """
    curves = {"site_a": (1.0, -1.0), "site_b": (10.0, 1.0)}

    def end(is_controlled: bool) -> float:
        state = {W: torch.zeros(1, 1), C: torch.zeros(1, 1)}
        own = {site: {C: torch.zeros(1, 1)} for site in curves}
        for _ in range(60):
            mean = ControlledMean(state, sites=2)
            for site, (curve, aim) in curves.items():
                network = line(state[W].item())
                with corrected_gradients(network, own[site], {C: state[C]}) as seen:
                    descend(network, curve, aim, steps=10, rate=0.05)
                after = seen.own_controls(own[site]) if is_controlled else own[site]
                mean.add(site, {W: network.weight.detach() - state[W], C: after[C] - own[site][C]}, 1)
                own[site] = after
            state = {name: state[name] + d for name, d in mean.result().items()}
        return state[W].item()

    assert end(is_controlled=False) == pytest.approx(0.4269, abs=1e-3)
    assert end(is_controlled=True) == pytest.approx(9 / 11, abs=1e-3)


def test_controls_are_of_what_is_trained() -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    network[0].bias.requires_grad_(False)
    controls = zero_controls(network)
    assert set(controls) == {f"{CONTROL}0.weight", f"{CONTROL}1.weight", f"{CONTROL}1.bias"}
    both: dict[str, Tensor] = {**network.state_dict(), **controls}
    assert without_controls(both).keys() == network.state_dict().keys()
