# SPDX-License-Identifier: Apache-2.0
"""A network answers to zeros without numbers where it can, and with numbers where it draws or chooses by them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.bundles.answer import answer_to_zeros


class Choosing(nn.Conv2d):
    """It looks at its numbers, which there are none of on the meta device."""

    def forward(self, input: Tensor) -> Tensor:
        answer: Tensor = super().forward(input)
        return answer if float(answer.mean()) == 0 else answer + 1


@pytest.mark.parametrize(
    ("kind", "draws", "device"), [(nn.Conv2d, False, "meta"), (nn.Conv2d, True, "cpu"), (Choosing, False, "cpu")]
)
def test_the_answer_is_that_of_a_new_network_on_the_device_that_can(
    kind: type[nn.Conv2d], draws: bool, device: str
) -> None:
    built: list[nn.Module] = []

    def build() -> nn.Module:
        built.append(kind(1, 2, 3, padding=1))
        return built[-1]

    answer = answer_to_zeros(build, (1, 1, 8, 6), draws)
    assert (tuple(answer.shape), answer.dtype, answer.device.type) == ((1, 2, 8, 6), torch.float32, device)
    assert not answer.requires_grad
    assert not built[-1].training
