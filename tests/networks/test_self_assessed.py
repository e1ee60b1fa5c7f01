# SPDX-License-Identifier: Apache-2.0
"""A U-Net with a confidence for every mask: its two answers are the halves of MONAI's one."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import UNet

from dsfedmed.networks.self_assessed import SelfAssessedUNet

SMALL: dict[str, Any] = {
    "spatial_dims": 2, "in_channels": 1, "channels": [4, 8], "strides": [2], "num_res_units": 1,
}  # fmt: skip


def test_masks_and_confidences_are_two_halves() -> None:
    torch.manual_seed(0)
    network, plain = SelfAssessedUNet(out_channels=3, **SMALL), UNet(out_channels=6, **SMALL)
    plain.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, 8, 8)
    masks, confidences = network.eval().assessed(images)
    assert torch.equal(torch.cat([masks, confidences], dim=1), plain.eval()(images))
    assert torch.equal(network(images), masks)
    assert masks.shape == confidences.shape == (2, 3, 8, 8)


def test_any_side_is_taken() -> None:
    network = SelfAssessedUNet(out_channels=1, **SMALL)
    assert [answer.shape for answer in network.assessed(torch.rand(1, 1, 9, 7))] == [(1, 1, 9, 7)] * 2
