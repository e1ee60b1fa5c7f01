# SPDX-License-Identifier: Apache-2.0
"""Where voxels lie: every volume in one orientation, and labels brought onto their image.

Axes run right, anterior, superior (RAS+, nibabel's and MONAI's convention). The slice axis is last: the one along which
voxels are coarser than ``COARSER`` times the next, else superior (axial slices). So a volume gives the same slices in
whatever order and direction its voxels are stored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes, apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy.ndimage import affine_transform

from dsfedmed.data.files.raw import Frame, Raw
from dsfedmed.errors import DataError

AS_STORED = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
"""nibabel's orientation of an array whose axes stay as they are."""
COARSER = 1.5
SAME_VOXEL = 0.05  # of a voxel: two grids that differ by less are one
COVERED = 0.95  # share of its image that a label has to cover
LOST = 0.01  # share of labelled voxels that may fall off the image before the label is refused


def standard_orientation(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return nibabel's (3, 2) array that takes the stored axes to (in-plane, in-plane, slice), all running RAS+.

    Args:
        affine: 4 x 4, of the stored voxels.
        shape: stored (x, y, z). An axis of one voxel is the slice axis: the picture is flat.
    """
    towards = io_orientation(affine)
    if np.isnan(towards).any():  # an axis without direction: nothing can be said, nothing is turned
        return AS_STORED
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    single = [axis for axis in range(3) if shape[axis] == 1]
    order = np.argsort(spacing)
    if single:
        last = 2 if 2 in single else single[-1]
    elif spacing[order[2]] >= COARSER * spacing[order[1]]:
        last = int(order[2])
    else:
        last = int(np.flatnonzero(towards[:, 0] == 2)[0])
    anatomical = int(towards[last, 0])
    plane = [axis for axis in range(3) if axis != anatomical]
    place = {plane[0]: 0, plane[1]: 1, anatomical: 2}
    return np.array([[place[int(axis)], flip] for axis, flip in towards], dtype=float)


def stand(array: np.ndarray, affine: np.ndarray, turn: bool = True) -> tuple[np.ndarray, Frame, np.ndarray]:
    """Bring (x, y, z, C) as stored into the standard orientation.

    Args:
        array: (x, y, z, C).
        affine: 4 x 4, RAS+ mm.
        turn: False leaves the axes as stored (a DICOM picture, which is looked at as it is).

    Returns:
        The array (X, Y, Z, C), where it came from, and the 4 x 4 affine of the returned array.
    """
    shape = (int(array.shape[0]), int(array.shape[1]), int(array.shape[2]))
    orientation = standard_orientation(affine, shape) if turn else AS_STORED
    read = affine @ inv_ornt_aff(orientation, shape)
    return apply_orientation(array, orientation), Frame(shape, affine, orientation), read


def aligned(label: Raw, image: Raw | None, by_grid: bool = False) -> Raw:
    """Return a label on the grid of its image.

    Where either file knows no place, voxel i of one is voxel i of the other as stored. Where both do, the label is
    turned, or sampled at the nearest voxel, so that it covers the same place.

    Args:
        label: as read.
        image: as read; its numbers are not looked at. None of a plain picture, which knows no place.
        by_grid: take the label voxel by voxel whatever its affine says.

    Raises:
        DataError: naming the label with both affines: one of them is the identity and the other is not (it was lost
            on the way), more than 1 % of what is labelled lies outside the image, or the label covers less than 95 %
            of it.
    """
    if label.frame is None and (image is None or image.frame is None):
        return label
    if label.frame is None or image is None or image.frame is None or by_grid:
        return _by_index(label, image.frame if image is not None else None)
    shape = _box(image)
    if _box(label) == shape and _is_identity(label.frame) != _is_identity(image.frame):
        raise DataError(label.path, f"one of the two affines was lost: {_both(label, image)}", _SAY)
    step = np.linalg.inv(label.affine) @ image.affine  # from the image's voxels to the label's
    if not label.volume and not image.volume:
        step[2] = step[:, 2] = (0, 0, 1, 0)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1).T
    if _box(label) == shape and np.abs(apply_affine(step, corners) - corners).max() < SAME_VOXEL:
        return label
    result = _sampled(label.array, step, shape, label.volume)
    before = _labelled(label.array) * abs(np.linalg.det(label.affine[:3, :3]))
    after = _labelled(result) * abs(np.linalg.det(image.affine[:3, :3]))
    if before > 0 and after < before * (1 - LOST) and _falls_off(label, step, shape):
        raise DataError(label.path, f"part of it lies outside its image: {_both(label, image)}", _SAY)
    share = 1.0 if label.sparse else _covered(step, shape, _box(label))
    if share < COVERED:
        own, whole = (" x ".join(str(n) for n in raw.array.shape[:-1]) for raw in (label, image))
        reason = f"it is {own} and covers {100 * share:.0f} % of its image ({whole}): {_both(label, image)}"
        raise DataError(label.path, reason, "Export the label at the size of its image.")
    note = f"brought onto its image's voxels ({_short(label)} to {_short(image)})"
    return replace(label, array=result, affine=image.affine, volume=image.volume, notes=(*label.notes, note))


_SAY = (
    'Export the label again from the image, or write "mask": {"geometry": "grid"} in datalist.json to take it '
    "voxel by voxel."
)


def _by_index(label: Raw, frame: Frame | None) -> Raw:
    """Give the label the stored order of its image: undo its own turning, then turn it as the image was."""
    array = label.array if label.volume else label.array[:, :, None]
    if label.frame is not None:
        back = ornt_transform(AS_STORED, label.frame.orientation)
        array = apply_orientation(array, back)
    if frame is not None:
        flips = frame.orientation
        if array.shape[:3] != frame.shape:
            return label  # the sizes differ, and whoever compares them says so
        array = apply_orientation(array, flips)
    return replace(label, array=array if array.shape[2] > 1 or label.volume else array[:, :, 0], frame=None)


def _sampled(array: np.ndarray, step: np.ndarray, shape: tuple[int, int, int], volume: bool) -> np.ndarray:
    source = array if volume else array[:, :, None]
    planes = [
        affine_transform(
            source[..., c].astype(np.float32) if source.dtype.kind == "f" else source[..., c].astype(np.int32),
            step[:3, :3],
            offset=step[:3, 3],
            output_shape=shape,
            order=0,
            mode="constant",
        )
        for c in range(source.shape[-1])
    ]
    result = np.stack(planes, axis=-1).astype(array.dtype)
    return result if shape[2] > 1 or volume else result[:, :, 0]


def _covered(step: np.ndarray, shape: tuple[int, int, int], box: tuple[int, int, int]) -> float:
    """Return the share of the image (looked at in a grid of up to 32 points an axis) that the label covers."""
    points = np.meshgrid(*[np.unique(np.linspace(0, n - 1, min(n, 32)).round()) for n in shape], indexing="ij")
    place = apply_affine(step, np.stack(points, axis=-1).reshape(-1, 3))
    inside = ((place > -0.5 - SAME_VOXEL) & (place < np.array(box) - 0.5 + SAME_VOXEL)).all(axis=1)
    return float(inside.mean())


def _falls_off(label: Raw, step: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Tell whether labelled voxels (to the nearest) have no place on the image."""
    array = label.array if label.volume else label.array[:, :, None]
    found = np.argwhere((array != 0).any(axis=-1))
    place = apply_affine(np.linalg.inv(step), found)
    outside = ((place < -0.5 - SAME_VOXEL) | (place > np.array(shape) - 0.5 + SAME_VOXEL)).any(axis=1)
    return bool(outside.mean() > LOST)


def _labelled(array: np.ndarray) -> int:
    return int((array != 0).any(axis=-1).sum())


def _box(raw: Raw) -> tuple[int, int, int]:
    shape = raw.array.shape
    return (int(shape[0]), int(shape[1]), int(shape[2]) if raw.volume else 1)


def _is_identity(frame: Frame) -> bool:
    return bool(np.allclose(frame.affine, np.eye(4)))


def _short(raw: Raw) -> str:
    frame = raw.frame
    if frame is None:
        return "no affine"
    spacing = np.sqrt((frame.affine[:3, :3] ** 2).sum(axis=0))
    shown = " x ".join(f"{value:.3g}" for value in spacing)
    return f"{''.join(str(code or '?') for code in aff2axcodes(frame.affine))}, {shown} mm"


def _both(label: Raw, image: Raw) -> str:
    assert label.frame is not None
    assert image.frame is not None
    return f"the label's is {_rows(label.frame.affine)}, the image's {_rows(image.frame.affine)}"


def _rows(affine: np.ndarray) -> str:
    return "[" + "; ".join(" ".join(f"{value:.4g}" for value in row) for row in affine[:3]) + "]"
