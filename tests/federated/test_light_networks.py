# SPDX-License-Identifier: Apache-2.0
"""What the federation exchanges of a light network that has frozen parts and batch normalisation."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.federated.site_tasks.networks import trained_tensors
from dsfedmed.networks.tiny_sam import TinySam


@pytest.fixture(scope="module")
def network() -> TinySam:
    return TinySam(64)


def test_what_travels_is_trained_weights_normalisation_and_the_positional_code(network: TinySam) -> None:
    travelling = trained_tensors(network)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    beside = set(travelling) - trained
    assert trained <= set(travelling)
    assert "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix" in beside
    assert {name.rsplit(".", 1)[-1] for name in beside} == {
        "running_mean", "running_var", "positional_encoding_gaussian_matrix",
    }  # fmt: skip
    assert sum(tensor.numel() for tensor in travelling.values()) == 9_250_196 + 9_856 + 256


def test_two_networks_agree_once_the_travelling_tensors_are_exchanged() -> None:
    torch.manual_seed(1)
    here = TinySam(64)
    torch.manual_seed(2)
    there = TinySam(64)
    images = torch.rand(1, 3, 64, 64)
    there.load_state_dict(trained_tensors(here), strict=False)
    with torch.inference_mode():
        assert torch.equal(here.eval()(images), there.eval()(images))
