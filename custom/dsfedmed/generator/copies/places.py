# SPDX-License-Identifier: Apache-2.0
"""Where a training image may lie in another image: windows of half its side, compared as vectors.

A window is 16 of 32 pixels wide. It is described by its lowest cosine coefficients without the constant one, weighted
by the square root of their frequency, as images have more of the slow ones. Every window of the training images at five
sizes is compared with nine windows of the other image in eight positions; a sign makes no difference, so negatives are
found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.generator.copies.structure import TURNS, turned

SIDE = 32
WINDOW = 16
COEFFICIENTS = 8
SIZES = (0.8, 0.9, 1.0, 1.12, 1.25)
FINEST = 28  # up to this side windows are taken at every pixel, above it at every second
LEAST_LENGTH = 0.5
GRID = (0, 8, 16)
VOTES = 2
BLOCK = 4  # images at a time on either side, so that a block of products stays in the processor's cache


@dataclass(frozen=True)
class Windows:
    """The windows of M training images.

    Attributes:
        vectors: float32 (M, W, D), each of length 1, or 0 where there is no structure.
        places: float32 (W, 3): size of the training image in parts of the other image, and row and column of the
            window's centre in [-1, 1] of the training image.
    """

    vectors: Tensor
    places: Tensor


@dataclass(frozen=True)
class Places:
    """K places for each of N images; every tensor is (N, K).

    Attributes:
        image: int64, which training image.
        turn: int64, in which position (`structure.turned`) the other image shows it.
        pose: float32 (N, K, 6): size and angle of the training image, row and column of a point in it, and row and
            column of that point in the other image, both in [-1, 1].
    """

    image: Tensor
    turn: Tensor
    pose: Tensor


def windows_of(structures: Tensor) -> Windows:
    """Return the windows of training images, given their structure (M, P, 64, 64)."""
    vectors, places = [], []
    for size in SIZES:
        side = round(SIDE * size)
        step = 1 if side <= FINEST else 2
        vectors.append(_vectors(structures, side, step))
        steps = range((side - WINDOW) // step + 1)
        centres = [2 * (number * step + WINDOW / 2) / side - 1 for number in steps]
        places += [(side / SIDE, row, column) for row in centres for column in centres]
    return Windows(torch.cat(vectors, dim=1), torch.tensor(places, device=structures.device))


def likely_places(structures: Tensor, own: Windows, most: int, excluded: Tensor | None = None) -> Places:
    """Return the likeliest training images and poses for each image, given their structure (N, P, 64, 64).

    A training image in one position counts as much as its best two of nine windows together.

    Args:
        structures: of the images to look at.
        own: windows of the training images.
        most: K, which is cut to what there is.
        excluded: bool (N, M), training images not to compare an image with.
    """
    asked = torch.stack([_vectors(turned(structures, turn), SIDE, GRID[1]) for turn in range(TURNS)], dim=1)
    best = _best(asked, own)
    if excluded is not None:
        best = best.masked_fill(excluded[:, None, None], -1.0)
    votes = best.topk(VOTES, dim=2).values.sum(dim=2)
    number = votes.shape[2]
    chosen = votes.flatten(1).topk(min(most, TURNS * number), dim=1).indices
    turn, image = chosen // number, chosen % number
    return Places(image, turn, _poses(asked, best, own, image, turn))


def _poses(asked: Tensor, best: Tensor, own: Windows, image: Tensor, turn: Tensor) -> Tensor:
    row = torch.arange(len(image), device=image.device)[:, None].expand_as(image)
    window = best[row, turn, :, image].argmax(dim=-1)
    middle = [2 * (start + WINDOW / 2) / SIDE - 1 for start in GRID]
    centres = torch.tensor([(y, x) for y in middle for x in middle])
    products = [own.vectors[image[n]] @ asked[n, turn[n], window[n]][..., None] for n in range(len(image))]
    place = own.places[torch.stack([each.squeeze(-1).abs().argmax(dim=-1) for each in products])]
    upright = torch.zeros_like(place[..., :1])
    return torch.cat([place[..., :1], upright, place[..., 1:], centres.to(place)[window]], dim=-1)


def _best(asked: Tensor, own: Windows) -> Tensor:
    """Return float32 (N, 8, 9, M): the likeness in [0, 1] of each window to the likest window of a training image."""
    count, turns, windows, _ = asked.shape
    images, places, _ = own.vectors.shape
    result = torch.empty(count, turns, windows, images, device=asked.device)
    for start in range(0, images, BLOCK):
        other = own.vectors[start : start + BLOCK].flatten(0, 1).T
        for first in range(0, count, BLOCK):
            products = asked[first : first + BLOCK].flatten(0, 2) @ other
            shaped = products.abs_().view(-1, turns, windows, min(BLOCK, images - start), places)
            result[first : first + BLOCK, ..., start : start + BLOCK] = shaped.amax(dim=-1)
    return result


def _vectors(structures: Tensor, side: int, step: int) -> Tensor:
    """Return the vectors (N, W, P * 63) of the windows of structures (N, P, 64, 64) at ``side`` pixels."""
    small = functional.interpolate(structures, size=(side, side), mode="bilinear", antialias=True)
    count, planes = small.shape[:2]
    cut = functional.unfold(small.flatten(0, 1)[:, None], WINDOW, stride=step).transpose(1, 2)
    vectors = cut @ _basis().to(cut).T
    vectors = vectors.reshape(count, planes, *vectors.shape[1:]).transpose(1, 2).flatten(2)
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > LEAST_LENGTH, vectors / length.clamp(min=1e-6), torch.zeros_like(vectors))


def _basis() -> Tensor:
    """Return the weighted cosine functions (63, 256)."""
    at = torch.arange(WINDOW) + 0.5
    lines = torch.stack([torch.cos(math.pi * number * at / WINDOW) for number in range(COEFFICIENTS)])
    lines = lines / lines.norm(dim=1, keepdim=True)
    order = torch.arange(COEFFICIENTS, dtype=torch.float32)
    weight = (order[:, None].square() + order.square()).pow(0.25)
    planes = torch.einsum("ai,bj,ab->abij", lines, lines, weight)
    return planes.reshape(COEFFICIENTS**2, WINDOW**2)[1:]
