# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from dsfedmed.generator.copies.structure import painted_over, structure, structure_beside_paint, turned
from tests.generator.pictures import pictures


def test_contrast_and_slow_changes_do_not_count() -> None:
    image = pictures(1, 1) * 0.6 + 0.2
    slope = torch.linspace(-0.1, 0.1, 64)[None, None, None]
    torch.testing.assert_close(structure(0.5 * image), structure(image), atol=1e-4, rtol=0)
    seen, sloped = structure(image), structure(image + slope)
    inside = (slice(None), slice(None), slice(12, 52), slice(12, 52))
    assert float((seen[inside] - sloped[inside]).abs().mean()) < 0.05
    assert float(seen.abs().max()) <= 1.5


def test_shapes_and_types() -> None:
    images = (pictures(2, 1, 4, 80) * 255).round().to(torch.uint8)
    assert structure(images).shape == (2, 4, 64, 64)
    assert structure(images[:, :3]).shape == (2, 1, 64, 64)
    assert float(structure(torch.zeros(1, 1, 32, 32)).abs().max()) == 0


def test_paint_is_a_large_flat_grey_and_no_black_or_white() -> None:
    planes = pictures(4, 2) * 0.5 + 0.25
    planes[0, :, :32] = 0.5
    planes[1, :, :32] = 0.0
    planes[2, :, :32] = 1.0
    planes[3, :, :6, :6] = 0.5
    found = painted_over(planes)
    assert found.flatten(1).any(dim=1).tolist() == [True, False, False, False]
    assert bool(found[0, 0, :31].all())
    assert not bool(found[0, 0, 33:].any())


def test_beside_the_paint_nothing_of_its_edge_is_seen() -> None:
    images = 0.2 * pictures(2, 3)
    covered = images.clone()
    covered[0, :, :, :32] = 0.9
    rows, beside = structure_beside_paint(covered)
    assert rows.tolist() == [0]
    right = (slice(None), slice(None), slice(None), slice(44, 64))
    assert float(beside[..., :31].abs().max()) == 0
    original = structure(images)[:1]
    with_edge = float((structure(covered)[:1, :, :, 33:44] - original[..., 33:44]).abs().mean())
    without = float((beside[..., 33:44] - original[..., 33:44]).abs().mean())
    assert without < 0.5 * with_edge
    torch.testing.assert_close(beside[right], original[right], atol=0.3, rtol=0)


def test_eight_positions_by_hand() -> None:
    plane = torch.tensor([[1, 2], [3, 4]])
    found = [turned(plane, number).flatten().tolist() for number in range(8)]
    assert found[:4] == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    assert found[4:] == [[2, 1, 4, 3], [4, 2, 3, 1], [3, 4, 1, 2], [1, 3, 2, 4]]
