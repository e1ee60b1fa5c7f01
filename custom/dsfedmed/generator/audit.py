# SPDX-License-Identifier: Apache-2.0
"""Copy check: synthetic images that have more in common with a training image than other patients' real images have.

Two looks at every image, each against all training images:

- whole images at 32 px (`dsfedmed.generator.copies.whole`): noise, blur, brightness, contrast;
- places (`...copies.agreement`): where a quarter of the image or more is a piece of a training image, moved, enlarged
  or reduced by up to a quarter, turned by some degrees, put beside something else, or partly painted over.

Both see flips, quarter turns and negatives. From when on an agreement is a copy is told by images that are none: the
held-out (validation) images of the same site, and its training images against those of other patients. Brightness,
contrast and gamma make no difference to what is compared. The check is no formal privacy guarantee: smaller pieces,
other angles and what is drawn anew in another style pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from dsfedmed.errors import DataError
from dsfedmed.generator.copies.agreement import OwnImages, best_agreement, explained
from dsfedmed.generator.copies.limit import chance_limit
from dsfedmed.generator.copies.whole import best_correlation, turned_descriptors

MINIMUM_HELD_OUT = 8
MOST_BASELINE = 200
THRESHOLD = 0.5
LEAST_LIMITS = (0.25, 0.6)  # whole images that correlate by 0.63; what is drawn smoothly agrees in places by up to 0.52
LEAST_REST = 1e-4  # whole images of one organ correlate by up to 0.98, so that the last steps to 1 count


@dataclasses.dataclass(frozen=True)
class AuditResult:
    """The outcome of a copy check.

    Attributes:
        distances: float32 (N,), distance in (0, 1] of each synthetic image to its nearest own training image: 1 where
            they have nothing in common, and half for each time that their agreement holds what chance gives.
        threshold: distance below which an image is vetoed, 0.5.
        vetoed: int64 (V,), indices of the vetoed images, ascending.
    """

    distances: Tensor
    threshold: float
    vetoed: Tensor


def audit(
    synthetic: Tensor,
    training: Tensor,
    held_out: Tensor,
    quantile: float = 0.01,
    where: str = "audit",
    patients: Sequence[Hashable] | None = None,
) -> AuditResult:
    """Compare synthetic images (N, C, X, Y) with own training (M, C, X, Y) and held-out (H, C, X, Y) images.

    Args:
        synthetic: uint8 or float in [0, 1]; the three may differ in size and type.
        training: what must not be copied.
        held_out: of other patients than the training images.
        quantile: in (0, 1), share of images that are no copies and are vetoed all the same.
        where: named in errors.
        patients: M, of the training images; None where each is of another one.

    Raises:
        DataError: no training images, or fewer than MINIMUM_HELD_OUT held-out images (no baseline, so no verdict).
    """
    if len(training) == 0 or len(held_out) < MINIMUM_HELD_OUT:
        raise DataError(
            where,
            f"{len(training)} training and {len(held_out)} held-out images give no baseline",
            f"The copy check needs training images and at least {MINIMUM_HELD_OUT} validation images.",
        )
    if not 0 < quantile < 1:
        raise DataError(where, f"quantile {quantile} is not in (0, 1)", "Give a small fraction such as 0.01.")
    if patients is not None and len(patients) != len(training):
        raise DataError(where, f"{len(patients)} patients of {len(training)} images", "Name one for each image.")
    looks = _Looks.at(training)
    chance = _by_chance(looks, training, held_out, range(len(training)) if patients is None else patients)
    limits = [chance_limit(values, quantile / 2, least) for values, least in zip(chance, LEAST_LIMITS, strict=True)]
    ratios = torch.stack([values / limit for values, limit in zip(looks(synthetic), limits, strict=True)])
    distances = 0.5 ** ratios.amax(dim=0)
    return AuditResult(distances, THRESHOLD, (distances < THRESHOLD).nonzero().flatten())


@dataclasses.dataclass(frozen=True)
class _Looks:
    """Training images made ready for both looks."""

    whole: Tensor
    places: OwnImages

    @classmethod
    def at(cls, training: Tensor) -> _Looks:
        return cls(turned_descriptors(training), OwnImages.of(training))

    def __call__(self, images: Tensor, excluded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what each image has in common with its nearest training image by either look, both (N,)."""
        whole = explained(best_correlation(images, self.whole, excluded), LEAST_REST)
        return whole, best_agreement(images, self.places, excluded)


def _by_chance(looks: _Looks, training: Tensor, held_out: Tensor, patients: Sequence[Hashable]) -> list[Tensor]:
    """Return the agreements by either look of images that are no copies.

    These are the held-out images, and evenly spaced training images without those of their own patient.
    """
    step = max(1, -(-len(training) // MOST_BASELINE))
    rows = range(0, len(training), step)
    same = torch.tensor([[patients[row] == other for other in patients] for row in rows], device=training.device)
    some = ~same.all(dim=1)
    of_others = looks(training[::step][some], same[some])
    return [torch.cat(pair) for pair in zip(looks(held_out), of_others, strict=True)]
