# SPDX-License-Identifier: Apache-2.0
"""Updates held on disk come back to the last bit, whole or in parts, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.federated.server.robust import held_updates
from dsfedmed.federated.server.robust.held_updates import HeldUpdates

LIKE = {"w": torch.zeros(3, 2), "b": torch.zeros(()), "a": torch.zeros(4)}


def update(seed: int) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tensor.shape, generator=draws) for name, tensor in LIKE.items()}


@pytest.fixture
def held(tmp_path: Path) -> HeldUpdates:
    made = HeldUpdates(tmp_path / "updates", LIKE)
    made.add("second", update(2))
    made.add("first", {name: tensor.half() for name, tensor in update(1).items()})
    return made


def test_an_update_comes_back_in_float32(held: HeldUpdates) -> None:
    assert held.sites == ("second", "first")
    assert all(torch.equal(held.get("second")[name], tensor) for name, tensor in update(2).items())
    assert all(torch.equal(held.get("first")[name], tensor.half().float()) for name, tensor in update(1).items())


def test_parts_of_several_updates_make_them_again(held: HeldUpdates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_updates, "COLUMNS", 4)
    parts = list(held.columns(["first", "second"]))
    assert [tuple(part.shape) for part in parts] == [(2, 4), (2, 4), (2, 3)]
    again = held.unflatten([part[1] for part in parts])
    assert all(torch.equal(again[name], tensor) for name, tensor in update(2).items())


def test_nothing_of_an_earlier_round_is_left(held: HeldUpdates, tmp_path: Path) -> None:
    anew = HeldUpdates(tmp_path / "updates", LIKE)
    assert list((tmp_path / "updates").iterdir()) == []
    anew.close()
    assert not (tmp_path / "updates").exists()
