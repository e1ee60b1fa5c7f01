# SPDX-License-Identifier: Apache-2.0
"""How much of an image is explained by a training image in a given place.

Both are compared in blocks of 16 of 64 pixels, 7 x 7 that overlap by half. Block b agrees by the correlation r_b, at
the best shift of up to two pixels, which also takes up small turns. Were both Gaussian, -1/2 ln(1 - r_b^2) would be
what one tells of the other (mutual information, in nats, of each pixel); the agreement of two images is its mean over
the best 12 blocks, so that a quarter of a copy counts like a whole one. Blocks of equal sign are counted, or, for
negatives, of opposite sign.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.generator.copies.places import Places, Windows, likely_places, windows_of
from dsfedmed.generator.copies.structure import SIDE, TURNS, structure, structure_beside_paint, turned

BLOCK, STEP = 16, 8
BEST_BLOCKS = 12
SHIFT = 2
NOISE = 0.03
LEAST_REST = 0.01
PLACES = 8
ANGLES = (-8.0, 0.0, 8.0)
NUDGES = tuple((size, angle) for size in (0.94, 1.0, 1.06) for angle in (-4.0, 0.0, 4.0))
AT_ONCE = 16  # images or poses, so that they stay in the processor's cache


@dataclass(frozen=True)
class OwnImages:
    """Training images made ready: structure (M, P, 64, 64) and windows."""

    structures: Tensor
    windows: Windows

    @classmethod
    def of(cls, images: Tensor) -> OwnImages:
        """Prepare images (M, C, X, Y), uint8 or float in [0, 1]."""
        structures = structure(images)
        return cls(structures, windows_of(structures))


def best_agreement(images: Tensor, own: OwnImages, excluded: Tensor | None = None) -> Tensor:
    """Return float32 (N,) in [0, 2.3]: how much the best training image explains of each image (N, C, X, Y).

    ``excluded`` bool (N, M) says which training images an image is not compared with.
    """
    amounts = torch.zeros(len(images), device=images.device)
    for start in range(0, len(images), AT_ONCE):
        some = torch.arange(start, min(start + AT_ONCE, len(images)), device=images.device)
        amounts[some] = _best(structure(images[some]), own, None if excluded is None else excluded[some])
        found, beside = structure_beside_paint(images[some])
        if len(found):
            rows = some[found]
            amount = _best(beside, own, None if excluded is None else excluded[rows])
            amounts[rows] = torch.maximum(amounts[rows], amount)
    return amounts


def _best(structures: Tensor, own: OwnImages, excluded: Tensor | None) -> Tensor:
    places = likely_places(structures, own.windows, PLACES, excluded)
    views = torch.stack([turned(structures, turn) for turn in range(TURNS)], dim=1)
    return _best_of(views, own.structures, places)


def _best_of(views: Tensor, own: Tensor, places: Places) -> Tensor:
    """Return the best agreement (N,) over the places, upright and turned a little, and then close to the best."""
    tried = _nudged(places, torch.tensor([(1.0, angle) for angle in ANGLES]))
    amount, shift = _agreements(views, own, tried)
    best = amount.argmax(dim=1, keepdim=True)
    centred = tried.pose.gather(1, best[..., None].expand(-1, -1, 6)).clone()
    centred[..., 4:] += shift.gather(1, best[..., None].expand(-1, -1, 2))
    one = Places(tried.image.gather(1, best), tried.turn.gather(1, best), centred)
    closer, _ = _agreements(views, own, _nudged(one, torch.tensor(NUDGES)))
    return torch.maximum(amount.amax(dim=1), closer.amax(dim=1))


def _nudged(places: Places, nudges: Tensor) -> Places:
    """Return the places once for each nudge (A, 2): a factor of the size and an angle in degrees that is added."""
    count = len(places.image)
    pose = places.pose[:, :, None].repeat(1, 1, len(nudges), 1)
    pose[..., 0] *= nudges[:, 0].to(pose)
    pose[..., 1] += nudges[:, 1].to(pose)
    repeated = [part[..., None].expand(-1, -1, len(nudges)).reshape(count, -1) for part in (places.image, places.turn)]
    return dataclasses.replace(places, image=repeated[0], turn=repeated[1], pose=pose.reshape(count, -1, 6))


def _agreements(views: Tensor, own: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Return the agreement (N, K) of each place, and the shift (N, K, 2) in [-1, 1] units that suits all blocks."""
    count, number = places.image.shape
    row = torch.arange(count, device=views.device)[:, None].expand(-1, number).flatten()
    image, turn, pose = places.image.flatten(), places.turn.flatten(), places.pose.flatten(0, 1)
    amounts, shifts = [], []
    for start in range(0, len(row), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        amount, shift = agreement(views[row[some], turn[some]], laid(own[image[some]], pose[some]))
        amounts.append(amount)
        shifts.append(shift)
    return torch.cat(amounts).view(count, number), torch.cat(shifts).view(count, number, 2)


def laid(own: Tensor, pose: Tensor) -> Tensor:
    """Return training structures (N, P, 64, 64) as they lie in the other image, (N, P, 68, 68), zeros beyond them.

    ``pose`` is (N, 6), see `places.Places`; the result is two pixels wider on every side than the other image.
    """
    side = SIDE + 2 * SHIFT
    at = ((torch.arange(side, device=own.device) + 0.5) * 2 - side) / SIDE
    size, angle, row, column, to_row, to_column = (part[:, None, None] for part in pose.unbind(dim=1))
    down, right = (at[None, :, None] - to_row) / size, (at[None, None, :] - to_column) / size
    cosine, sine = torch.deg2rad(angle).cos(), torch.deg2rad(angle).sin()
    grid = torch.stack([cosine * right - sine * down + column, sine * right + cosine * down + row], dim=-1)
    return functional.grid_sample(own, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def agreement(seen: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return the agreement (N,) of structures (N, P, 64, 64) with others (N, P, 68, 68), and the common shift (N, 2).

    The shift of ``other`` is in the units of `places.Places`, rows first, where all blocks together agree most.
    """
    blocks = _block_means().to(seen)
    mean, power = _in_blocks(seen, blocks), _in_blocks(seen.square(), blocks)
    spread = (power - mean.square()).clamp(min=0).mean(dim=1) + NOISE
    same, opposite, common = torch.full_like(spread, -1), torch.full_like(spread, 1), []
    powers = other.square()
    shifts = range(2 * SHIFT + 1)
    rows = [blocks @ part[..., down : down + SIDE, :] for down in shifts for part in (other, powers)]
    for down in shifts:
        for right in shifts:
            part = other[..., down : down + SIDE, right : right + SIDE]
            its_mean, its_power = (rows[2 * down + n][..., right : right + SIDE] @ blocks.T for n in (0, 1))
            its_spread = (its_power - its_mean.square()).clamp(min=0).mean(dim=1) + NOISE
            shared = (_in_blocks(seen * part, blocks) - mean * its_mean).mean(dim=1)
            correlation = shared / (spread * its_spread).sqrt()
            same, opposite = torch.maximum(same, correlation), torch.minimum(opposite, correlation)
            common.append(correlation.sum(dim=(1, 2)).abs())
    best = torch.stack(common, dim=1).argmax(dim=1)
    shift = torch.stack([best // (2 * SHIFT + 1), best % (2 * SHIFT + 1)], dim=1) - SHIFT
    return torch.maximum(_amount(same), _amount(-opposite)), -shift * 2.0 / SIDE


def explained(correlation: Tensor, rest: float = LEAST_REST) -> Tensor:
    """Return -1/2 ln(1 - r^2) of correlations, 0 for negative ones; 1 - r^2 counts as ``rest`` at least."""
    return -0.5 * (1 - correlation.clamp(0, 1).square()).clamp(min=rest).log()


def _amount(correlation: Tensor) -> Tensor:
    return explained(correlation).flatten(1).topk(BEST_BLOCKS, dim=1).values.mean(dim=1)


def _in_blocks(planes: Tensor, blocks: Tensor) -> Tensor:
    return blocks @ planes @ blocks.T


def _block_means() -> Tensor:
    """Return (7, 64), which takes the mean over each block of a line."""
    starts = range(0, SIDE - BLOCK + 1, STEP)
    result = torch.zeros(len(starts), SIDE)
    for number, start in enumerate(starts):
        result[number, start : start + BLOCK] = 1 / BLOCK
    return result
