# SPDX-License-Identifier: Apache-2.0
"""Promptless SAM against segment-anything's own modules and the paper's parameter counts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling import Sam
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.promptless_sam.network import PIXEL_MEAN, PIXEL_STD, PromptlessSam, build_promptless_sam


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def tiny() -> PromptlessSam:
    return build_promptless_sam("tiny", 32, 1).eval()


@pytest.fixture(scope="module")
def tiny_two() -> PromptlessSam:
    return build_promptless_sam("tiny", 32, 2).eval()


def test_vit_b_has_the_papers_parameter_counts() -> None:
    with torch.device("meta"):
        network = build_promptless_sam("vit_b", 1024, 1)
    assert count(network.image_encoder) == 89_670_912
    assert count(network.prompt_encoder) == 6_220
    assert count(network.mask_decoder) == 4_058_345
    assert count(network) == 93_735_477


def test_every_further_class_costs_five_parameters() -> None:
    with torch.device("meta"):
        counts = [count(build_promptless_sam("vit_b", 256, k).mask_decoder) for k in (1, 2, 5)]
    assert counts == [4_058_345, 4_058_350, 4_058_365]


def test_keys_are_segment_anythings_but_for_the_class_head() -> None:
    from segment_anything.build_sam import _build_sam

    with torch.device("meta"):
        official: Sam = _build_sam(768, 12, 12, [2, 5, 8, 11])
        own = build_promptless_sam("vit_b", 1024, 1)
    shapes = {key: value.shape for key, value in own.state_dict().items() if not key.startswith("mask_decoder.seg1.")}
    assert shapes == {key: value.shape for key, value in official.state_dict().items()}


def test_decode_is_the_official_decoder_without_prompts(tiny: PromptlessSam) -> None:
    embedding = torch.randn(1, 32, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        official, _ = tiny.mask_decoder.predict_masks(
            image_embeddings=embedding,
            image_pe=tiny.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=torch.empty(1, 0, 32),
            dense_prompt_embeddings=torch.zeros(1, 32, 8, 8),
        )
        own = tiny.mask_decoder.mask_channels(embedding, tiny.prompt_encoder.get_dense_pe(), count=4)
        one_class = tiny.decode(embedding)
    torch.testing.assert_close(own, official, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one_class, official[:, :1], rtol=1e-5, atol=1e-5)


def test_several_classes_are_a_convolution_over_the_mask_channels(tiny_two: PromptlessSam) -> None:
    embedding = torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        channels = tiny_two.mask_decoder.mask_channels(embedding, tiny_two.prompt_encoder.get_dense_pe(), count=4)
        logits = tiny_two.decode(embedding)
    weight, bias = tiny_two.mask_decoder.seg1.weight[:, :, 0, 0], tiny_two.mask_decoder.seg1.bias
    by_hand = torch.einsum("km,nmxy->nkxy", weight, channels) + bias.view(1, -1, 1, 1)
    torch.testing.assert_close(logits, by_hand.detach(), rtol=1e-4, atol=1e-5)
    assert logits.shape == (2, 2, 32, 32)


@settings(max_examples=8)
@given(batch=st.integers(1, 5), seed=st.integers(0, 1000))
def test_samples_of_a_batch_do_not_see_each_other(batch: int, seed: int) -> None:
    network = build_promptless_sam("tiny", 32, 2).eval()
    images = torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_grey_is_repeated_and_logits_have_the_images_size(tiny: PromptlessSam) -> None:
    grey = torch.rand(2, 1, 48, 40)
    with torch.no_grad():
        logits = tiny(grey)
        torch.testing.assert_close(logits, tiny(grey.repeat(1, 3, 1, 1)))
    assert logits.shape == (2, 1, 48, 40)


def test_normalise_is_sams_pixel_normalisation(tiny: PromptlessSam) -> None:
    normalised = build_promptless_sam("tiny", 32, 1, normalise=True).eval()
    image = torch.rand(1, 3, 32, 32)
    by_hand = (image - torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1)) / torch.tensor(PIXEL_STD).view(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(normalised.encode(image), tiny.encode(by_hand))
    assert "pixel_mean" not in normalised.state_dict()


@pytest.mark.parametrize(("size", "patch"), [(64, 4), (128, 8)])
def test_small_keeps_its_grid_and_stays_small(size: int, patch: int) -> None:
    network = build_promptless_sam("small", size, 1)
    assert 1_400_000 < count(network) < 2_500_000
    assert network.image_encoder.patch_embed.proj.kernel_size == (patch, patch)
    with torch.no_grad():
        assert network.encode(torch.rand(1, 1, size, size)).shape == (1, 96, 16, 16)
        assert network.decode(torch.rand(1, 96, 16, 16)).shape == (1, 1, 64, 64)


def test_tiny_is_below_two_hundred_thousand(tiny: PromptlessSam) -> None:
    assert count(tiny) < 200_000


def test_weights_come_from_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = build_promptless_sam("tiny", 32, 1, seed=3), build_promptless_sam("tiny", 32, 1, seed=3)
    torch.testing.assert_close(torch.rand(3), expected)
    other = build_promptless_sam("tiny", 32, 1, seed=4)
    key = "image_encoder.blocks.0.attn.qkv.weight"
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_a_few_steps_fit_one_image() -> None:
    network = build_promptless_sam("tiny", 32, 1)
    image, target = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    image[..., 8:20, 8:24] = 1.0
    target[..., 8:20, 8:24] = 1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(network(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_gradients_reach_encoder_and_class_head(tiny_two: PromptlessSam) -> None:
    tiny_two.zero_grad()
    tiny_two(torch.rand(1, 1, 32, 32)).square().mean().backward()
    for name in (
        "image_encoder.patch_embed.proj.weight",
        "mask_decoder.seg1.weight",
        "mask_decoder.mask_tokens.weight",
    ):
        gradient = tiny_two.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("variant", "size", "classes", "word"),
    [("huge", 64, 1, "huge"), ("vit_b", 100, 1, "100"), ("small", 8, 1, "8"), ("tiny", 32, 0, "num_classes")],
)
def test_settings_that_make_no_network_are_refused(variant: str, size: int, classes: int, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        build_promptless_sam(variant, size, classes)


def test_images_with_other_channels_are_refused(tiny: PromptlessSam) -> None:
    with pytest.raises(ValueError, match="1 or 3"):
        tiny(torch.rand(1, 2, 32, 32))


def test_the_class_head_starts_near_the_first_mask_token(tiny_two: PromptlessSam) -> None:
    """SAM's own mask of no ambiguity; the other three hardly count."""
    weight = build_promptless_sam("tiny", 32, 2).mask_decoder.seg1.weight.detach()
    assert torch.equal(weight[:, 0], torch.ones_like(weight[:, 0]))
    assert 0 < float(weight[:, 1:].abs().max()) <= 0.05, "a tenth of 1 / sqrt(4)"
    assert float(tiny_two.mask_decoder.seg1.bias.detach().abs().max()) == 0
