# SPDX-License-Identifier: Apache-2.0
"""The personal branch as a bundle's network: the keys and the answers of the branch that a site has trained."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import ConfigError
from dsfedmed.networks.local_experts import EXPERTS, personal_branch
from dsfedmed.networks.lora import add_lora
from dsfedmed.networks.personal_sam import build_personal_sam, personal_settings
from dsfedmed.networks.promptless_sam import build_promptless_sam
from tests.federated.tiny import BUNDLES

FORM = {"rank": 3, "alpha": 6.0, "layers": ["qkv", "lin1"]}


def trained() -> torch.nn.Module:
    """A branch whose updates and experts all say something."""
    shared = add_lora(build_promptless_sam("tiny", 32, 2, seed=5), 3, 6.0, ("qkv", "lin1"), seed=6)
    own = personal_branch(shared, 2, 1)
    torch.manual_seed(8)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return own.eval()


def test_it_takes_a_trained_branchs_weights_and_answers_as_it_does() -> None:
    own = trained()
    built = build_personal_sam("tiny", 32, 2, **FORM, experts=2, top_k=1).eval()
    built.load_state_dict(own.state_dict())
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        assert torch.equal(built(images), own(images))


def test_in_the_bundle_of_the_promptless_sam_it_is_the_same_network() -> None:
    form = personal_settings(FORM, experts=2, top_k=1)
    settings = {"variant": "tiny", "image_size": [32, 32], "num_classes": 2, **form}
    network = BundleDefinition(BUNDLES / "promptless_sam_segmentation", settings).network()
    assert network.state_dict().keys() == trained().state_dict().keys()
    assert [name for name in network.state_dict() if EXPERTS in name]


def test_another_number_of_experts_is_another_network() -> None:
    with pytest.raises(RuntimeError, match="experts"):
        build_personal_sam("tiny", 32, 2, **FORM, experts=3, top_k=1).load_state_dict(trained().state_dict())


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ConfigError, match="neck"):
        build_personal_sam("tiny", 32, 1, rank=2, alpha=2.0, layers=["neck"], experts=1, top_k=1)
