# SPDX-License-Identifier: Apache-2.0
"""The convolutional stem: the token grid of the projection it replaces, its widths, and the teacher that has one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.promptless_sam.stem import convolutional_stem
from dsfedmed.networks.trained_tensors import trained_tensors


@pytest.mark.parametrize(("patch", "widths"), [(2, [192]), (4, [96, 192]), (8, [48, 96, 192]), (16, [32, 48, 96, 192])])
def test_it_makes_the_grid_of_the_projection(patch: int, widths: list[int]) -> None:
    stem = convolutional_stem(patch, 192)
    assert stem(torch.rand(2, 3, 8 * patch, 8 * patch)).shape == (2, 192, 8, 8)
    assert [m.out_channels for m in stem if isinstance(m, nn.Conv2d) and m.stride == (2, 2)] == widths


@pytest.mark.parametrize("patch", [1, 3, 12])
def test_other_patches_are_refused(patch: int) -> None:
    with pytest.raises(ConfigError, match="by halving"):
        convolutional_stem(patch, 64)


def test_the_wide_teacher_has_sams_proportions() -> None:
    """Of FedSAM's numbers low-rank updates of qkv move 5 %; FedMSA, with adapters beside its stem too, moves 15 %."""
    whole = build_promptless_sam("wide", 64, 1)
    assert whole(torch.rand(1, 1, 64, 64)).shape == (1, 1, 64, 64)
    total = sum(tensor.numel() for tensor in trained_tensors(whole).values())
    assert 3.2e6 < total < 3.4e6
    low_rank = sum(t.numel() for t in trained_tensors(add_lora(build_promptless_sam("wide", 64, 1), 4, 4.0)).values())
    adapters = sum(t.numel() for t in trained_tensors(add_adapters(build_promptless_sam("wide", 64, 1))).values())
    assert low_rank / total < 0.06
    assert adapters / total < 0.16
