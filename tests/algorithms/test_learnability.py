# SPDX-License-Identifier: Apache-2.0
"""The learnability score by hand, and its invariances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.algorithms.learnability import learnability_score, z_normalise
from dsfedmed.errors import ConfigError, DSFedMedError


def test_raw_score_is_the_papers_equation() -> None:
    scores = learnability_score(torch.tensor([0.2, 0.6]), torch.tensor([0.1, 0.3]), lam=0.25, normalise=False)
    torch.testing.assert_close(scores, torch.tensor([-0.05 + 0.075, -0.15 + 0.225]))


def test_normalised_score_by_hand() -> None:
    # losses 1, 3: z = -1, +1, reliability +1, -1; disagreements 0.02, 0.01: z = +1, -1.
    scores = learnability_score(torch.tensor([1.0, 3.0]), torch.tensor([0.02, 0.01]), lam=0.75)
    torch.testing.assert_close(scores, torch.tensor([1.0, -1.0]))
    opposed = learnability_score(torch.tensor([1.0, 3.0]), torch.tensor([0.01, 0.02]), lam=0.75)
    torch.testing.assert_close(opposed, torch.tensor([0.5, -0.5]))


def test_normalisation_gives_lambda_an_effect_the_raw_terms_deny_it() -> None:
    loss = torch.tensor([0.1, 0.3, 0.5])
    disagreement = torch.tensor([0.001, 0.002, 0.009])
    raw = learnability_score(loss, disagreement, lam=0.2, normalise=False)
    normalised = learnability_score(loss, disagreement, lam=0.2)
    assert int(raw.argmax()) == 0
    assert int(normalised.argmax()) == 2


@given(st.lists(st.floats(0.0, 5.0, width=32), min_size=2, max_size=12), st.floats(0.1, 100.0), st.floats(-3.0, 3.0))
def test_normalised_score_ignores_the_scale_of_either_term(values: list[float], scale: float, shift: float) -> None:
    loss = torch.tensor(values, dtype=torch.float64)
    disagreement = torch.linspace(0, 1, len(values), dtype=torch.float64)
    if float(loss.std(correction=0)) < 1e-3:
        return
    before = learnability_score(loss, disagreement)
    torch.testing.assert_close(learnability_score(loss * scale + shift, disagreement), before, atol=1e-6, rtol=1e-6)


def test_equal_values_normalise_to_zero_also_with_rounding_noise() -> None:
    values = torch.full((5,), 0.1)
    values[0] += 7e-9
    assert torch.equal(z_normalise(values), torch.zeros(5))
    assert torch.equal(z_normalise(torch.tensor([3.0])), torch.zeros(1))


@pytest.mark.parametrize(
    ("loss", "disagreement"),
    [
        (torch.tensor([1.0, float("nan")]), torch.zeros(2)),
        (torch.zeros(2), torch.tensor([float("inf"), 0.0])),
        (torch.zeros(2), torch.zeros(3)),
        (torch.zeros(0), torch.zeros(0)),
        (torch.zeros(2, 1), torch.zeros(2, 1)),
    ],
)
def test_unusable_terms_are_refused(loss: torch.Tensor, disagreement: torch.Tensor) -> None:
    with pytest.raises(DSFedMedError, match="learnability score"):
        learnability_score(loss, disagreement)


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan")])
def test_lambda_outside_its_range_is_refused(lam: float) -> None:
    with pytest.raises(ConfigError, match="lam"):
        learnability_score(torch.ones(2), torch.ones(2), lam=lam)
