# SPDX-License-Identifier: Apache-2.0
"""New masks out of drawn ones: flips, affine and elastic deformation, so that no drawn mask leaves a hospital.

DSFedMed (arXiv 2601.16073) samples masks "m ~ M_k" and does not say how the server gets them; this is our reading.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from monai.transforms.spatial.array import Rand2DElastic
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.seeds import derive_seed, generator


@dataclasses.dataclass(frozen=True)
class DeformationConfig:
    """How far masks are deformed.

    Attributes:
        rotation_degrees: rotation is drawn from plus or minus this.
        scale: each axis is scaled by 1 plus or minus up to this.
        shear: shear factor, plus or minus up to this.
        translation: shift as a fraction of the side, plus or minus up to this.
        elastic_spacing: distance of the elastic control points as a fraction of the side.
        elastic_magnitude: largest standard displacement of a control point as a fraction of the side.
        flip_axes: spatial axes (0 is x, 1 is y) flipped at random; y is left alone because depth has a direction.
        dice_limit: a result whose overall foreground has more Dice (0..1) with any drawn mask or flip of it is redrawn.
        kept_area: share of its pixels in [0, 1] that each label keeps at least; a result with less is redrawn.
        attempts: draws per mask before giving up.
    """

    rotation_degrees: float = 15.0
    scale: float = 0.2
    shear: float = 0.1
    translation: float = 0.1
    elastic_spacing: float = 0.25
    elastic_magnitude: float = 0.06
    flip_axes: tuple[int, ...] = (0,)
    dice_limit: float = 0.95
    kept_area: float = 0.25
    attempts: int = 50

    def __post_init__(self) -> None:
        """Refuse values with which no mask could be drawn."""
        object.__setattr__(self, "flip_axes", tuple(self.flip_axes))
        amounts = (self.rotation_degrees, self.scale, self.shear, self.translation, self.elastic_magnitude)
        if not all(math.isfinite(amount) and amount >= 0 for amount in amounts) or self.scale >= 1:
            raise ConfigError(
                "mask sampler",
                f"{self} has a negative or too large amount",
                "Give amounts of 0 or above, and a scale below 1.",
            )
        shares = 0 < self.elastic_spacing <= 1 and 0 < self.dice_limit <= 1 and 0 <= self.kept_area <= 1
        if not shares or self.attempts < 1:
            raise ConfigError("mask sampler", f"{self} is out of range", "Give shares in (0, 1] and an attempt.")
        if not set(self.flip_axes) <= {0, 1}:
            raise ConfigError("mask sampler", f"flip_axes {self.flip_axes} are no image axes", "Use 0 and 1.")


def deform_label_maps(
    label_maps: Tensor, count: int, seed: int, config: DeformationConfig | None = None, where: str = "mask sampler"
) -> Tensor:
    """Return ``count`` new label maps, uint8 (count, 1, S, S), deformed from drawn ones, uint8 (N, 1, S, S).

    Every label of the source stays present (an empty source stays empty), and nested classes stay nested, because all
    classes move under one deformation. Sources are taken in a random order that is not returned, each equally often
    up to one. The result is deterministic in ``seed``.

    Raises:
        DataError: the label maps have another shape or type, or a mask cannot be deformed under the limit.
    """
    config = config or DeformationConfig()
    _check(label_maps, count, where)
    label_maps = convert_to_tensor(label_maps, track_meta=False)
    classes = int(label_maps.max())
    deform = _elastic(label_maps.shape[-1], config)
    drawn = _with_flips((label_maps > 0).to(torch.float32))
    draws = generator(derive_seed(seed, "mask order"))
    rounds = math.ceil(count / len(label_maps))
    order = torch.cat([torch.randperm(len(label_maps), generator=draws) for _ in range(rounds)])[:count].tolist()
    order = [order[place] for place in torch.randperm(count, generator=draws).tolist()]
    results = [
        _deform_one(label_maps[source], classes, deform, drawn, config, derive_seed(seed, "mask", place), where)
        for place, source in enumerate(order)
    ]
    return torch.stack(results)


def _deform_one(
    source: Tensor,
    classes: int,
    deform: Rand2DElastic,
    drawn: Tensor,
    config: DeformationConfig,
    seed: int,
    where: str,
) -> Tensor:
    """Return one label map (1, S, S), redrawn until it keeps its classes and is unlike every drawn mask."""
    channels = (source >= torch.arange(1, classes + 1).reshape(-1, 1, 1)).to(torch.float32)
    if not bool(source.any()):
        return source.clone()
    least = _label_areas(source, classes) * config.kept_area
    lost, closest = 0, 0.0
    for attempt in range(config.attempts):
        deform.set_random_state(derive_seed(seed, attempt))
        moved = _flipped(channels, config.flip_axes, derive_seed(seed, attempt, "flip"))
        # A plain tensor leaves MONAI's metadata, and with it any trace of the source, behind.
        deformed: Tensor = convert_to_tensor(deform(moved), track_meta=False)
        # Summing the thresholded cumulative channels keeps label k inside label k - 1 and edges smooth.
        result = (deformed >= 0.5).sum(dim=0, keepdim=True).to(torch.uint8)
        if bool((_label_areas(result, classes) < least).any()):
            lost += 1
            continue
        closest = float(foreground_dice(result[None] > 0, drawn).max())
        if closest <= config.dice_limit:
            return result
    raise DataError(
        where,
        f"no usable deformation of a mask in {config.attempts} attempts: {lost} lost a label, the others came too "
        f"close to a drawn mask (Dice {closest:.3f}, limit {config.dice_limit})",
        "Raise the deformation (elastic_magnitude, scale, translation), or lower it where labels are lost.",
    )


def _label_areas(label_map: Tensor, classes: int) -> Tensor:
    """Return the pixels (classes,) of each label 1..classes."""
    return torch.bincount(label_map.flatten().to(torch.int64), minlength=classes + 1)[1:]


def foreground_dice(first: Tensor, second: Tensor) -> Tensor:
    """Return the Dice (0..1) of every pair of masks in {0, 1} (N, ...) and (M, ...), as (N, M); 0 if both are empty."""
    left, right = first.flatten(1).to(torch.float32), second.flatten(1).to(torch.float32)
    sizes = left.sum(1)[:, None] + right.sum(1)[None]
    return 2 * (left @ right.T) / sizes.clamp(min=1)


def _elastic(size: int, config: DeformationConfig) -> Rand2DElastic:
    """Return MONAI's random affine and elastic deformation in pixels of a map of side ``size``."""
    return Rand2DElastic(
        spacing=config.elastic_spacing * size,
        magnitude_range=(config.elastic_magnitude * size / 2, config.elastic_magnitude * size),
        prob=1.0,
        rotate_range=math.radians(config.rotation_degrees),
        shear_range=(config.shear, config.shear),
        translate_range=(config.translation * size, config.translation * size),
        scale_range=(config.scale, config.scale),
        mode="bilinear",
        padding_mode="zeros",
    )


def _flipped(channels: Tensor, axes: tuple[int, ...], seed: int) -> Tensor:
    """Flip channels (K, S, S) along each of ``axes`` with probability one half."""
    heads = torch.rand(2, generator=generator(seed)) < 0.5
    chosen = [1 + axis for axis in axes if bool(heads[axis])]
    return channels.flip(chosen) if chosen else channels


def _with_flips(masks: Tensor) -> Tensor:
    """Return masks (N, 1, S, S) with their flips along x, y and both, (4N, 1, S, S)."""
    return torch.cat([masks, masks.flip(2), masks.flip(3), masks.flip(2, 3)])


def _check(label_maps: Tensor, count: int, where: str) -> None:
    square = label_maps.ndim == 4 and label_maps.shape[1] == 1 and label_maps.shape[2] == label_maps.shape[3]
    if not square or label_maps.dtype != torch.uint8 or len(label_maps) == 0 or count < 1:
        raise DataError(
            where,
            f"{count} masks were asked of label maps {label_maps.dtype} {tuple(label_maps.shape)}",
            "Give uint8 label maps (N, 1, S, S), at least one, and ask for at least one mask.",
        )
