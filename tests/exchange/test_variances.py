# SPDX-License-Identifier: Apache-2.0
"""The statistics of batch normalisation on the wire: a variance that collapses in one round stays a variance."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.exchange.compression import add, difference
from dsfedmed.exchange.updates import decode, encode, shapes_of


def test_only_variances_stop_at_zero() -> None:
    base = {"bn.running_var": torch.tensor([1.0, 2.0]), "bn.running_mean": torch.tensor([1.0])}
    total = add(base, {"bn.running_var": torch.tensor([-1.5, 0.5]), "bn.running_mean": torch.tensor([-1.5])})
    assert total["bn.running_var"].tolist() == [0.0, 2.5]
    assert total["bn.running_mean"].tolist() == [-0.5]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("channels", [8, 1152])
def test_a_collapsed_variance_comes_back_as_a_finite_network(precision: str, channels: int) -> None:
    """From 5.003 to 1e-4 the difference would round to -5.0039 in half precision; vectors are not rounded."""
    layer = nn.BatchNorm2d(channels).eval()
    state = {name: tensor for name, tensor in layer.state_dict().items() if tensor.is_floating_point()}
    start = {**state, "running_var": torch.full((channels,), 5.003)}
    end = {**start, "running_var": torch.full((channels,), 1e-4)}
    sent = encode(difference(end, start), precision, "site_a")
    update = decode(sent.tensors, shapes_of(start), precision, sent.layout, "site_a")
    arrived = add(start, update)
    assert arrived["running_var"].tolist() == pytest.approx([1e-4] * channels, rel=1e-2)
    layer.load_state_dict(arrived, strict=False)
    assert bool(torch.isfinite(layer(torch.rand(1, channels, 2, 2))).all())


def test_a_channel_of_small_variance_is_not_drowned_by_a_large_one() -> None:
    variances = torch.full((1152,), 1e-3)
    variances[0] = 40.0
    sent = encode({"bn.running_var": variances}, "int8", "site_a")
    assert torch.allclose(sent.received["bn.running_var"], variances, rtol=1e-3)
