# SPDX-License-Identifier: Apache-2.0
"""U-Nets for any side: MONAI's own network to the last bit where sides divide, the image's size where they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.networks.nets import FlexibleUNet, UNet
from torch import Tensor, nn

from dsfedmed.networks.any_size import AnySizeFlexibleUNet, AnySizeUNet
from dsfedmed.networks.tiny_sam import TinySam

SMALL: dict[str, Any] = {
    "spatial_dims": 2, "in_channels": 2, "out_channels": 3, "channels": [4, 8, 8, 8], "strides": [2, 2, 2],
    "num_res_units": 1,
}  # fmt: skip
FLEXIBLE: dict[str, Any] = {
    "in_channels": 2, "out_channels": 3, "backbone": "resnet10", "spatial_dims": 2,
    "norm": ["INSTANCE", {"affine": True}],
}  # fmt: skip
PAIRS = {"unet": (AnySizeUNet, UNet, SMALL, 64), "flexible": (AnySizeFlexibleUNet, FlexibleUNet, FLEXIBLE, 64)}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, int]:
    """Ours, MONAI's with the same weights, and a side that both take."""
    ours, theirs, options, side = PAIRS[request.param]
    torch.manual_seed(0)
    network, plain = ours(**options), theirs(**options)
    plain.load_state_dict(network.state_dict())
    return network.eval(), plain.eval(), side


def test_names_and_answers_are_monais_where_sides_divide(pair: tuple[nn.Module, nn.Module, int]) -> None:
    network, plain, side = pair
    assert list(network.state_dict()) == list(plain.state_dict())
    images = torch.rand(2, 2, side, side)
    found, expected = network(images), plain(images)
    assert torch.equal(found, expected)
    for answer, module in ((found, network), (expected, plain)):
        module.zero_grad()
        answer.square().sum().backward()
    gradients: list[list[Tensor | None]] = [[p.grad for p in m.parameters()] for m in (network, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True) if a is not None and b is not None)


def test_other_sides_have_logits_of_their_own_size(pair: tuple[nn.Module, nn.Module, int]) -> None:
    network, plain, _ = pair
    images = torch.rand(2, 2, 50, 67)
    assert network(images).shape == (2, 3, 50, 67)
    with pytest.raises(RuntimeError):
        plain(images)


def test_tiny_sam_sees_the_next_multiple_and_answers_at_fifty() -> None:
    torch.manual_seed(0)
    network = TinySam(50, in_channels=4).eval()
    assert network.image_size == 64
    seen: list[Tensor] = []
    network.image_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(1, 4, 50, 50)
    with torch.no_grad():
        assert network(images).shape == (1, 1, 50, 50)
    assert seen[0].shape == (1, 4, 64, 64)
    assert torch.equal(seen[0][:, :, 7:57, 7:57], images), "extended, not resized"
