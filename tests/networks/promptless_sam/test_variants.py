# SPDX-License-Identifier: Apache-2.0
"""Sizes of the promptless SAM: patches by hand, and what cannot be cut."""

from __future__ import annotations

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.networks.promptless_sam.variants import VARIANTS, check_size


def test_variants_name_their_scale() -> None:
    assert {"vit_b", "vit_l", "vit_h", "small", "tiny"} <= set(VARIANTS)


@pytest.mark.parametrize(
    ("variant", "image_size", "patch"),
    [("vit_b", 1024, 16), ("vit_h", 512, 16), ("small", 64, 4), ("small", 128, 8), ("wide", 64, 8), ("tiny", 32, 4)],
)
def test_patches_by_hand(variant: str, image_size: int, patch: int) -> None:
    check_size(variant, image_size)
    assert VARIANTS[variant].patch(image_size) == patch


@pytest.mark.parametrize(
    ("variant", "image_size", "words"),
    [
        ("vit_b", 1000, "1000 is not a multiple of 16"),
        ("vit_l", 0, "0 is not a multiple"),
        ("small", 24, "24 is not a multiple of 16"),
        ("wide", 12, "12 is not a multiple of 8"),
        ("vit_x", 64, "'vit_x' is not known.*vit_b, vit_l"),
    ],
)
def test_what_cannot_be_cut_is_refused(variant: str, image_size: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_size(variant, image_size)


def test_global_attention_is_in_blocks_that_there_are_and_heads_divide_widths() -> None:
    for name, shape in VARIANTS.items():
        assert max(shape.global_attention) < shape.depth, name
        assert shape.embed_dim % shape.num_heads == shape.prompt_dim % shape.decoder_heads == 0, name
        assert (shape.patch_size is None) != (shape.grid is None), name
