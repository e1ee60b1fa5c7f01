# SPDX-License-Identifier: Apache-2.0
"""Bad updates by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed_benchmarks.poison.updates import UPDATES

HONEST = {"w": torch.tensor([3.0, -4.0]), "b": torch.tensor([0.5])}


@pytest.mark.parametrize(
    ("name", "w"),
    [
        ("60,000 everywhere", [60_000.0, 60_000.0]),
        ("1,000 times", [3000.0, -4000.0]),
        ("turned round", [-3.0, 4.0]),
        ("turned round, 5 times", [-15.0, 20.0]),
        ("zeros", [0.0, 0.0]),
    ],
)
def test_by_hand(name: str, w: list[float]) -> None:
    assert UPDATES[name]()(HONEST, 1)["w"].tolist() == w


def test_the_first_is_sent_again() -> None:
    bad = UPDATES["the first again"]()
    bad(HONEST, 1)
    assert bad({"w": torch.zeros(2), "b": torch.zeros(1)}, 2)["w"].tolist() == [3.0, -4.0]


def test_noise_is_as_long_as_what_was_to_be_sent_and_another_every_round() -> None:
    bad = UPDATES["noise"]()
    first, second = bad(HONEST, 1), bad(HONEST, 2)
    assert float(first["w"].norm()) == pytest.approx(5.0)
    assert not torch.equal(first["w"], second["w"])
    assert torch.equal(first["w"], bad(HONEST, 1)["w"])
