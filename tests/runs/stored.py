# SPDX-License-Identifier: Apache-2.0
"""What a run folder holds, and two runs side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from dsfedmed.store.files import read_json, read_tensors


def stage_tensors(folder: Path, stage: str) -> dict[str, Tensor]:
    """Return what a run's stage store holds of a stage."""
    name = read_json(folder / "store" / f"{stage}.json")["file"]
    return read_tensors(folder / "store" / name)


def released(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a run's release."""
    weights: dict[str, Tensor] = torch.load(folder / "release" / "models" / "model.pt", weights_only=True)
    return weights


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], what: object = "") -> None:
    """See that two sets of tensors are equal to the last bit."""
    assert first, f"nothing to compare: {what}"
    assert first.keys() == second.keys(), what
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items()), what


def assert_same_stages(first: Path, second: Path, stages: Iterable[str]) -> None:
    """See that two runs' stores hold the same tensors of these stages."""
    for stage in stages:
        assert_same(stage_tensors(first, stage), stage_tensors(second, stage), stage)
