# SPDX-License-Identifier: Apache-2.0
"""PNG inside shards: the same numbers back, fewer bytes, and nothing decoded that was not announced."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsfedmed.data.png import decode_png, encode_png, pack_png
from dsfedmed.errors import PayloadError

HERE = Path("shard")


@given(size=st.integers(1, 40), channels=st.sampled_from([1, 2, 3, 4, 16]), seed=st.integers(0, 1000))
def test_every_image_comes_back_to_the_last_bit(size: int, channels: int, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (channels, size, size), dtype=torch.uint8, generator=draws)
    assert torch.equal(decode_png(encode_png(image), channels, size, HERE), image)


def test_a_label_map_takes_next_to_nothing() -> None:
    label = torch.zeros(1, 512, 512, dtype=torch.uint8)
    label[0, 100:300, 200:400] = 1
    assert len(encode_png(label)) < 0.01 * label.numel()


def test_ends_cut_the_row_into_its_images() -> None:
    images = torch.arange(3 * 16, dtype=torch.uint8).reshape(3, 1, 4, 4)
    row, ends = pack_png(images)
    assert ends.tolist()[-1] == len(row)
    second = row[ends[0] : ends[1]].numpy().tobytes()
    assert torch.equal(decode_png(second, 1, 4, HERE), images[1])


def test_four_channels_stand_one_below_the_other_and_no_other_number_is_taken() -> None:
    image = torch.arange(4 * 9, dtype=torch.uint8).reshape(4, 3, 3)
    with Image.open(io.BytesIO(encode_png(image))) as picture:
        assert (picture.mode, picture.size) == ("L", (3, 12))
        assert list(picture.tobytes()) == list(range(36))
    with pytest.raises(PayloadError, match="L 3 x 12, not L 3 x 15"):
        decode_png(encode_png(image), 5, 3, HERE)


def _png(size: tuple[int, int], mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_png((9, 8)), "L 9 x 8, not L 8 x 8"),
        (_png((8, 8), "RGB"), "RGB 8 x 8"),
        (_png((8, 8), "1"), "1 8 x 8"),
        (_png((4000, 4000)), "4000 x 4000"),
        (_png((30000, 30000)), "exceeds limit"),
        (_png((8, 8))[:45], "cannot be decoded"),
        (b"", "cannot be decoded"),
        (b"BM" + bytes(60), "cannot be decoded"),
    ],
    ids=["size", "colour", "bits", "large", "bomb", "truncated", "empty", "bitmap"],
)
def test_anything_else_is_refused_undecoded(data: bytes, reason: str) -> None:
    with pytest.raises(PayloadError, match=reason):
        decode_png(data, 1, 8, HERE)
