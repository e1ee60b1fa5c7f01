# SPDX-License-Identifier: Apache-2.0
"""The public set at a site: its losses by hand, passes before the own images, RF's noise; what networks are shown."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.algorithms.agreement import AgreementConfig, AgreementState
from dsfedmed.training.semi_supervised.both_sources import Passes, UnlabelledSource
from dsfedmed.training.semi_supervised.condensation import LIMIT, NOISE
from dsfedmed.training.semi_supervised.loop import Summary, UnlabelledTerms, train_semi_supervised
from dsfedmed.training.semi_supervised.public import PublicSource, public_loss, train_on_public
from dsfedmed.training.task import TrainingTask

SIZE = 8
PUBLIC, OWN = 0.25, 0.75
"""Grey values of the public and of the own images, to know one from the other."""


class Bias(nn.Module):
    """One logit for every pixel; remembers what it was shown, and whether it was training."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(value))
        self.shown: list[tuple[bool, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append((self.training, images))
        return self.logit.expand(len(images), 1, SIZE, SIZE)

    def kinds(self) -> list[str]:
        return [
            ("public" if float(images.mean()) < 0.5 else "own") + (" training" if training else " evaluation")
            for training, images in self.shown
        ]


def task(batch_size: int = 4) -> TrainingTask:
    return TrainingTask(1, True, nn.BCEWithLogitsLoss(), None, batch_size)


def public(count: int = 8, advice: Tensor | None = None) -> PublicSource:
    """Images of one grey value whose masks are all foreground."""
    masks = torch.ones(count, 1, SIZE, SIZE, dtype=torch.uint8)
    return PublicSource(torch.full((count, 1, SIZE, SIZE), PUBLIC), masks, advice)


def advice(probability: float, gate: float, count: int = 8) -> Tensor:
    return torch.tensor([probability, gate]).view(1, 2, 1, 1).expand(count, 2, SIZE, SIZE).contiguous()


def run(network: Bias, first: int, weight: float = 1.0, source: PublicSource | None = None, **terms: object) -> Summary:
    ramp = torch.linspace(OWN - 0.1, OWN + 0.1, SIZE).expand(4, 1, SIZE, SIZE).contiguous()
    own = UnlabelledSource(ramp, torch.full_like(ramp, 0.99))
    unlabelled = UnlabelledTerms(AgreementConfig(), AgreementState(), weight, **terms)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    passes = Passes(1, seed=1, public=first)
    return train_semi_supervised(network, optimizer, source or public(), own, task(), unlabelled, passes)


def test_the_public_set_comes_first() -> None:
    """Two passes over eight images by four, then the one batch of own images: its weak view, and its strong one."""
    network = Bias()
    summary = run(network, first=2)
    assert network.kinds() == ["public training"] * 4 + ["own evaluation", "own training"]
    assert summary.steps == 5
    weak, strong = network.shown[4][1], network.shown[5][1]
    assert not torch.equal(weak, strong), "what is asked for advice and what is trained on are two views"
    assert 0 < summary.public_loss < math.log(2), "a mean over the public steps: from log 2 down"


def test_beside_each_other_they_are_one_step() -> None:
    network = Bias()
    summary = run(network, first=0)
    assert network.kinds() == ["own evaluation", "own training", "public training"]
    assert summary.steps == 1
    assert summary.public_loss == pytest.approx(math.log(2))


def test_own_images_that_teach_nothing_take_no_step() -> None:
    """Adam would step on by its momentum; the agreement is kept up all the same."""
    alone, behind = Bias(), Bias()
    optimizer = torch.optim.Adam(alone.parameters(), lr=0.05)
    train_on_public(alone, optimizer, public(), task(), 2, seed=0)
    summary = run(behind, first=2, weight=0.0)
    assert float(behind.logit.detach()) == pytest.approx(float(alone.logit.detach()))
    assert (summary.steps, summary.state.steps) == (4, 1)


def test_only_rf_has_noise_and_it_is_cut() -> None:
    plain, noisy = Bias(), Bias()
    run(plain, first=1)
    assert all(bool((images == PUBLIC).all()) for _, images in plain.shown[:2])
    run(noisy, first=4, source=public(advice=advice(0.9, 1.0)))
    noise = torch.cat([images for _, images in noisy.shown[:8]]) - PUBLIC
    assert 0 < float(noise.abs().max()) <= LIMIT + 1e-6
    assert float(noise.std()) == pytest.approx(NOISE, rel=0.1)
    assert not torch.equal(noisy.shown[0][1], noisy.shown[2][1]), "every pass has its own"


def test_the_loss_of_a_public_batch_by_hand() -> None:
    """RF from logit 0, masks all foreground, the server's p = 0.9: structure, and 10 KL_2 of a half each where gated.

    At T = 2 the logit ln 9 is 0.75 against 0.5. With masks that fill the image w is 1 but at its edge, see
    `test_regularity`; all that is asked here is the sum.
    """
    batch = {"image": torch.zeros(2, 1, SIZE, SIZE), "label": torch.ones(2, 1, SIZE, SIZE, dtype=torch.uint8)}
    network, kl = Bias(), 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(public_loss(network, batch, task())) == pytest.approx(math.log(2))
    closed = float(public_loss(network, {**batch, "soft": advice(0.9, 0.0, 2)}, task()))
    assert closed > math.log(2) + 0.3, "cross-entropy and the overlap's part"
    opened = float(public_loss(network, {**batch, "soft": advice(0.9, 1.0, 2)}, task()))
    assert opened == pytest.approx(closed + 10 * kl / 2, rel=1e-4)


def test_the_global_networks_divergence_by_hand() -> None:
    """KL( M_G || q ) with p_G = 0.9 and q = 0.5, and the other way it would be another number."""
    network, shared = Bias(), Bias(math.log(9))
    found = run(network, first=0, weight=0.0, shared=shared.eval(), shared_weight=2.0).own_loss
    assert found == pytest.approx(2 * (0.9 * math.log(1.8) + 0.1 * math.log(0.2)), rel=1e-5)
