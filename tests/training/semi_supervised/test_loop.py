# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed's local training: it repeats, every term pulls, SAM's labels teach, and bad input is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.algorithms.agreement import AgreementConfig, AgreementState
from dsfedmed.errors import DataError, DSFedMedError
from dsfedmed.training.semi_supervised.both_sources import Passes, UnlabelledSource
from dsfedmed.training.semi_supervised.loop import Summary, UnlabelledTerms, train_semi_supervised
from dsfedmed.training.semi_supervised.public import PublicSource
from dsfedmed.training.task import TrainingTask

SIZE = 16


def squares(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bright squares on dark ground, with noise, and their masks."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, 1, SIZE, SIZE)
    for mask in masks:
        top, left = torch.randint(2, 8, (2,), generator=random).tolist()
        mask[0, top : top + 6, left : left + 6] = 1
    return (0.2 + 0.6 * masks + 0.05 * torch.randn(masks.shape, generator=random)).clamp(0, 1), masks


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))


def run(
    trained: nn.Module,
    weight: float = 1.0,
    own: UnlabelledSource | None = None,
    advice: Tensor | None = None,
    shared: nn.Module | None = None,
    shared_weight: float = 0.0,
    seed: int = 1,
    epochs: int = 2,
    rate: float = 0.02,
) -> Summary:
    images, masks = squares(8, 0)
    if own is None:
        theirs, their_masks = squares(12, 1)
        own = UnlabelledSource(theirs, (0.02 + 0.96 * their_masks))
    optimizer = torch.optim.Adam(trained.parameters(), lr=rate)
    source = PublicSource(images, masks.to(torch.uint8), advice)
    task = TrainingTask(1, True, nn.BCEWithLogitsLoss(), None, 4)
    terms = UnlabelledTerms(AgreementConfig(), AgreementState(), weight, shared_weight, shared)
    return train_semi_supervised(trained, optimizer, source, own, task, terms, Passes(epochs, seed))


def weights_of(trained: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])


def test_it_repeats_to_the_last_bit_and_another_seed_is_another_run() -> None:
    first, again, other = network(), network(), network()
    summary = run(first)
    run(again)
    run(other, seed=2)
    assert torch.equal(weights_of(first), weights_of(again))
    assert not torch.equal(weights_of(first), weights_of(other))
    assert summary.steps == 6, "two passes over 12 own images by four"
    assert summary.state.steps == 6
    assert 0 <= float(summary.state.rate) <= 1


def test_sams_labels_teach_where_public_labels_do_not() -> None:
    """SAM calls everything of the own images foreground and is sure; without its weight nothing of that is learned."""
    theirs, _ = squares(12, 1)
    own = UnlabelledSource(theirs, torch.full((12, 1, SIZE, SIZE), 0.99))
    taught, alone = network(), network()
    run(taught, 5.0, own, epochs=10)
    run(alone, 0.0, own, epochs=10)
    with torch.no_grad():
        said, unsaid = (torch.sigmoid(trained(theirs)).mean() for trained in (taught, alone))
    assert float(said) > float(unsaid) + 0.1


def test_the_global_network_pulls_only_with_its_weight() -> None:
    shared = network()
    with torch.no_grad():
        shared[2].bias.fill_(4.0)
    pulled, free = network(), network()
    run(pulled, 0.0, shared=shared, shared_weight=5.0, epochs=6)
    run(free, 0.0, shared=shared, epochs=6)
    images, _ = squares(4, 5)
    with torch.no_grad():
        assert float((pulled(images) - free(images)).mean()) > 0.1
    assert shared[2].bias.grad is None


def test_advice_counts_only_where_its_gate_is_open() -> None:
    """The server says foreground everywhere: with the gate closed its word changes nothing."""
    advice = torch.full((8, 1, SIZE, SIZE), 0.99)
    opened = torch.cat([advice, torch.ones_like(advice)], dim=1)
    closed = torch.cat([advice, torch.zeros_like(advice)], dim=1)
    other = torch.cat([1 - advice, torch.zeros_like(advice)], dim=1)
    trained = [network() for _ in range(3)]
    for module, said in zip(trained, (opened, closed, other), strict=True):
        run(module, 0.0, advice=said)
    assert torch.equal(weights_of(trained[1]), weights_of(trained[2]))
    assert not torch.equal(weights_of(trained[0]), weights_of(trained[1]))


def test_bad_input_is_refused() -> None:
    images, masks = squares(3, 0)
    with pytest.raises(DataError, match="2 answers of SAM"):
        run(network(), own=UnlabelledSource(images, masks[:2]))
    with pytest.raises(DSFedMedError, match="the loss is"):
        run(network(), rate=1e30, epochs=10)
