# SPDX-License-Identifier: Apache-2.0
"""``LoadSiteImaged``: the first transform of every bundle, from a path to image and label tensors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dsfedmed.data.channels import PICTURE, require_channels, usable_channels
from dsfedmed.data.formats import Raw, read_raw, read_volume
from dsfedmed.errors import ConfigError, DataError

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as PIL's RGB to L


class LoadSiteImaged(MapTransform):
    """Load a site's image and label files: PNG, JPEG, TIFF, BMP, NPY, NIfTI (2D, or a slice of a volume), DICOM.

    Item: ``{"image": path, "label": path, "slice_index": int | None, "label_map": {value: value} | None,
    "channel_order": places in the file | None}``; the last three are optional and taken out of the item again. Result:
    ``image`` (C, X, Y) float32 in [0, 1] and ``label`` (1, X, Y) uint8, both ``MetaTensor`` with ``filename_or_obj``,
    ``affine`` and ``spatial_shape``, so that ``Resized``, ``Invertd`` and ``SaveImaged`` work; for slices
    ``patch_index`` holds the slice number, which ``SaveImaged`` puts into the file name. Slices are taken along the
    last axis.

    8-bit images are divided by 255. Every other type is scaled by its 0.5 and 99.5 percentiles (of the whole volume
    for a slice, of all colours together for RGB, of each channel alone for other numbers of channels) and clipped; a
    constant image becomes 0.

    Args:
        keys: "image" and "label", or one of them; any key but "label" is read as an image.
        channels: 1 (RGB becomes luminance), 3 (grey is repeated) or another number up to 16, which files have.
        label_map: values to rewrite in labels, such as ``{255: 1}``; an item's own map comes first.
        allow_missing_keys: accept items without a label, for inference.

    Raises:
        ConfigError: when ``channels`` is not from 1 to 16.
        DataError: naming the file that is missing, damaged, not finite, no label map, or of another number of channels.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        channels: int = 1,
        label_map: Mapping[Any, int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not usable_channels(channels):
            raise ConfigError("LoadSiteImaged", f"channels is {channels!r}", "Use 1 (grey), 3 (RGB) or up to 16.")
        self.channels = channels
        self.label_map = label_map

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with paths replaced by tensors."""
        item = dict(data)
        slice_index = item.pop("slice_index", None)
        order = item.pop("channel_order", None)
        label_map = item.pop("label_map", None) or self.label_map
        for key in self.key_iterator(item):
            path = Path(item[key])
            raw = _read(path, slice_index, label=key == "label")
            if key == "label":
                array = label_values(path, raw.array, label_map).transpose(2, 0, 1)
            else:
                array = self._scaled_channels(raw, slice_index, order)
            item[key] = _meta_tensor(array, path, raw.affine, slice_index)
        return item

    def _scaled_channels(self, raw: Raw, slice_index: int | None, order: Sequence[int] | None) -> np.ndarray:
        array = raw.array if slice_index is None else raw.array[..., slice_index : slice_index + 1]
        require_channels(raw.path, array.shape[2], self.channels)
        if array.shape[2] in PICTURE:
            scaled = _scaled(array, raw.window)
        else:
            planes = [replace(raw, array=array[..., k : k + 1]) for k in range(array.shape[2])]
            scaled = np.concatenate([_scaled(plane.array, plane.window) for plane in planes], axis=2)
        if order is not None and scaled.shape[2] == len(order):
            scaled = scaled[..., list(order)]
        if self.channels == 1 and scaled.shape[2] == 3:
            scaled = (scaled @ LUMINANCE)[..., None]
        if self.channels == 3 and scaled.shape[2] == 1:
            scaled = np.repeat(scaled, 3, axis=2)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32)


def _scaled(array: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    scaled: np.ndarray = np.clip((array.astype(np.float32) - low) / max(high - low, 1e-12), 0.0, 1.0)
    return scaled


def label_values(path: Path, array: np.ndarray, label_map: Mapping[Any, int] | None = None) -> np.ndarray:
    """Return a label array (X, Y, 1) as uint8, with ``label_map`` applied.

    A mask saved as RGB with three equal planes is taken as one plane (the authors' NPY masks are); a coloured mask is
    refused, since its colours do not say which label they mean.

    Raises:
        DataError: when the array is coloured, not whole-numbered, or outside 0..255.
    """
    if array.shape[2] == 3:
        if (array != array[..., :1]).any():
            raise DataError(path, "the label is a colour picture", "Save it as one grey plane of integers 0, 1, 2...")
        array = array[..., :1]
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise DataError(path, "the label holds fractions", "Save integers; resize labels by nearest neighbour only.")
    if array.size and (array.min() < 0 or array.max() > 255):
        raise DataError(path, f"the label spans {array.min()}..{array.max()}", "Label values lie within 0..255.")
    values = np.array(array, dtype=np.uint8)
    result = values.copy()
    for source, target in (label_map or {}).items():
        result[values == int(source)] = int(target)
    return result


def observed_values(raw: Raw, slice_index: int | None, label_map: Mapping[Any, int] | None = None) -> set[int]:
    """Return the values that occur in a label file, or in one slice of it; errors as :func:`label_values`."""
    array = raw.array if slice_index is None else raw.array[..., slice_index : slice_index + 1]
    if raw.volume:
        array = array.reshape(array.shape[0], -1, 1)
    return {int(value) for value in np.unique(label_values(raw.path, array, label_map))}


def _read(path: Path, slice_index: int | None, label: bool) -> Raw:
    if slice_index is None:
        raw = read_raw(path, label)
        if raw.volume:
            raise DataError(path, "it is a volume and no slice was asked for", "Give the item a slice_index.")
        return raw
    raw = read_volume(path, label)
    if not raw.volume or not 0 <= slice_index < raw.array.shape[2]:
        raise DataError(path, f"it has no slice {slice_index}", "Image and label must be volumes of the same size.")
    if label:
        return Raw(path, raw.array[..., slice_index : slice_index + 1], raw.affine, volume=True)
    return raw


def _meta_tensor(array: np.ndarray, path: Path, affine: np.ndarray, slice_index: int | None) -> MetaTensor:
    meta: dict[str, Any] = {
        "filename_or_obj": str(path),
        "affine": affine,
        "original_affine": affine,
        "spatial_shape": np.asarray(array.shape[1:]),
        "original_channel_dim": 0,
        "space": "RAS",
    }
    if slice_index is not None:
        meta["patch_index"] = slice_index
    tensor = MetaTensor.ensure_torch_and_prune_meta(np.ascontiguousarray(array), meta)
    assert isinstance(tensor, MetaTensor)
    return tensor
