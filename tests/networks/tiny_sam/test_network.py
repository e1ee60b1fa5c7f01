# SPDX-License-Identifier: Apache-2.0
"""TinySAM: its size to the parameter, any image size, what is trained, and evaluation that follows the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.tiny_sam import TinySam

TRUNK, NECK, PROMPTS, DECODER = 5_071_124, 672_768, 6_220, 4_058_345
CLASSIFIER = 2 * 320 + 320 * 1000 + 1000


def count(module: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


@pytest.fixture(scope="module")
def network() -> TinySam:
    torch.manual_seed(0)
    return TinySam(64)


def test_parameters_of_the_paper_without_its_dead_weight() -> None:
    with torch.device("meta"):
        full = TinySam()
    assert count(full.image_encoder.trunk) == TRUNK
    assert count(full.image_encoder.neck) == NECK
    assert count(full.prompt_encoder) == PROMPTS
    assert count(full.mask_decoder) == DECODER
    assert count(full) == TRUNK + NECK + PROMPTS + DECODER == 9_808_457
    assert count(full) + CLASSIFIER == 10_130_097


@pytest.mark.parametrize(("classes", "trained"), [(1, 9_250_196), (2, 9_669_630), (3, 9_669_635)])
def test_only_what_is_run_is_trained(classes: int, trained: int) -> None:
    """Never run: prompts 6,220 and quality head 132,612; with one class also 3 x 139,808 and seg1."""
    with torch.device("meta"):
        full = TinySam(num_classes=classes)
    assert count(full, trained=True) == trained
    assert trained == count(full) - PROMPTS - 132_612 - (3 * 139_808 + 5 if classes == 1 else 0)


def test_1024_pixels_give_the_map_of_sam() -> None:
    with torch.device("meta"):
        encoder = TinySam(1024).image_encoder
        assert encoder(torch.empty(1, 3, 1024, 1024)).shape == (1, 256, 64, 64)


@pytest.mark.parametrize(("classes", "channels", "size"), [(1, 1, (50, 70)), (3, 3, (64, 64)), (2, 1, (130, 33))])
def test_logits_have_the_images_size_and_every_trained_weight_gets_a_gradient(
    classes: int, channels: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = TinySam(64, num_classes=classes, in_channels=channels)
    logits = network(torch.rand(2, channels, *size))
    assert logits.shape == (2, classes, *size)
    logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_a_step_goes_downhill_and_frozen_parts_stay(network: TinySam) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 1, 64, 64)
    masks = (images > 0.5).float()
    frozen = {name: p.clone() for name, p in network.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = nn.functional.binary_cross_entropy_with_logits(network(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(torch.equal(p, frozen[name]) for name, p in network.named_parameters() if name in frozen)


def test_evaluation_follows_weights_that_change(network: TinySam) -> None:
    """timm keeps gathered attention biases while in evaluation mode; a loaded or stepped bias must count at once."""
    images = torch.rand(1, 3, 64, 64)
    network.eval()
    with torch.no_grad():
        before = network(images)
        for name, parameter in network.named_parameters():
            if name.endswith("attention_biases"):
                parameter.copy_(3 * torch.randn_like(parameter))
        after = network(images)
        fresh = TinySam(64).eval()
        fresh.load_state_dict(network.state_dict())
        assert not torch.allclose(before, after)
        assert torch.equal(after, fresh(images))


def test_gradients_in_evaluation_mode_reach_the_biases_each_time(network: TinySam) -> None:
    network.eval()
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    for _ in range(2):
        network.zero_grad()
        network(torch.rand(1, 3, 64, 64)).mean().backward()
        biases = network.image_encoder.trunk.stages[1].blocks[0].attn.attention_biases
        assert biases.grad is not None
        assert biases.grad.abs().max() > 0


def test_samples_of_a_batch_do_not_see_each_other_in_evaluation(network: TinySam) -> None:
    images = torch.rand(3, 3, 64, 64)
    network.eval()
    with torch.inference_mode():
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:The tensor attributes:UserWarning")
def test_traced_and_exported_networks_compute_the_same(network: TinySam) -> None:
    images = torch.rand(1, 3, 64, 64)
    network.eval()
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(torch.jit.trace(network, torch.rand(1, 3, 64, 64))(images), expected)  # type: ignore[no-untyped-call]
        exported = torch.export.export(network, (torch.rand(1, 3, 64, 64),)).module()
        torch.testing.assert_close(exported(images), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels is 0"),
        ({"image_size": 16}, "image_size 16"),
        ({"num_classes": 0}, "num_classes 0 is below 1"),
        ({"in_channels": 17}, "in_channels is 17"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TinySam(**arguments)


def test_four_channels_are_refused_at_the_door(network: TinySam) -> None:
    with pytest.raises(ValueError, match="1 or 3"):
        network(torch.rand(1, 4, 64, 64))
