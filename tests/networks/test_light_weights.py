# SPDX-License-Identifier: Apache-2.0
"""Start weights of light networks: their own files, and the log of a bundle's start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from dsfedmed.errors import CheckpointError
from dsfedmed.networks.light_weights import load_light_weights, start_from
from dsfedmed.networks.tiny_sam import TinySam


def test_its_own_file_loads_too_and_a_missing_one_is_named(tmp_path: Path) -> None:
    source, target = TinySam(64, num_classes=2), TinySam(64, num_classes=3)
    torch.save(source.state_dict(), tmp_path / "own.pth")
    report = load_light_weights(target, tmp_path / "own.pth")
    assert set(report.dropped) == {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}
    assert torch.equal(source.mask_decoder.mask_tokens.weight, target.mask_decoder.mask_tokens.weight)
    with pytest.raises(CheckpointError, match=r"light_weights: .*none\.pt: no such file; a weights file was expected"):
        load_light_weights(target, tmp_path / "none.pt")


def test_any_network_loads_its_own_file_and_no_other_ones(tmp_path: Path) -> None:
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    torch.save(source.state_dict(), tmp_path / "own.pt")
    report = load_light_weights(target, tmp_path / "own.pt")
    assert torch.equal(source.weight, target.weight)
    assert (report.source, set(report.loaded)) == ("light_weights: own.pt", {"weight", "bias"})
    with pytest.raises(CheckpointError, match="another architecture"):
        load_light_weights(nn.Linear(3, 3), tmp_path / "own.pt")


def test_numbers_that_are_not_finite_change_nothing(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    before = network.weight.clone()
    torch.save({"weight": torch.tensor([[1.0]]), "bias": torch.tensor([float("nan")])}, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match="not finite"):
        load_light_weights(network, tmp_path / "nan.pt")
    assert torch.equal(network.weight, before)


def test_a_bundle_starts_from_a_file_only_where_one_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Linear(2, 2)
    assert start_from(network) is None
    torch.save({name: torch.ones_like(value) for name, value in network.state_dict().items()}, tmp_path / "w.pt")
    with caplog.at_level(logging.INFO):
        report = start_from(network, str(tmp_path / "w.pt"))
    assert report is not None
    assert report.summary() in caplog.text
    assert bool((network.weight == 1).all())
    with pytest.raises(CheckpointError, match=r"start_weights: .*none\.pt: no such file"):
        start_from(network, str(tmp_path / "none.pt"))
