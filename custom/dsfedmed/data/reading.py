# SPDX-License-Identifier: Apache-2.0
"""``LoadSiteImaged``: the first transform of every bundle, from paths to image and label tensors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dsfedmed.data.channels import require_channels, usable_channels
from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import read_raw, read_volume
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.data.labelling import Labelling, read_label
from dsfedmed.data.masks.decode import decode
from dsfedmed.data.masks.distinct import distinct
from dsfedmed.data.masks.rule import parse_rule
from dsfedmed.errors import ConfigError, DataError

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as PIL's RGB to L
SAME_PLACE = 1e-3  # mm or parts of a direction: the files of one image lie on one grid
_OPTIONS = ("slice_index", "label_map", "mask", "window", "channel_order")


class LoadSiteImaged(MapTransform):
    """Load a site's image and label files of any format that `data.files` reads, slices of stacks and volumes too.

    Item: ``{"image": path, "label": path}`` and, as `SiteDatalist.document` writes them and taken out again here:
    ``slice_index``; ``label_map`` {value: value}; ``mask`` (the datalist's entry, with ``classes``); ``window`` [low,
    high]; ``channel_order`` (which stored channel stands where). ``image`` may be a list of files, one a channel, and a
    file in it one that was read already (`Raw`); ``label`` a list of masks of one image.

    Result: ``image`` (C, X, Y) float32 in [0, 1] and ``label`` (1, X, Y) uint8 (``labels.IGNORE`` where the mask's
    ignore value stands; its metadata then say ``ignores``), both ``MetaTensor`` with ``filename_or_obj``, ``affine``
    and ``spatial_shape``, so that ``Resized`` and ``Invertd`` work. For `SaveMasksd`: of slices ``patch_index`` and
    ``frame_slices``; where the file knows its place ``frame_shape``, ``frame_affine`` and ``frame_orientation``; of
    very large pictures ``full_shape``. Pictures are upright, volumes in the standard orientation of
    `data.files.geometry`; labels lie on the voxels of their image, also when the image itself is not loaded. How
    numbers become [0, 1] stands in `data.files.values`.

    Args:
        keys: "image" and "label", or one of them; any key but "label" is read as an image.
        channels: C, 1 to 16. RGB becomes luminance for 1, grey is repeated for 3; any other difference is an error.
        label_map: values to rewrite in labels, such as ``{255: 1}``; an item's own map comes first.
        allow_missing_keys: accept items without a label, for inference.
        window: the numbers that become 0 and 1, for all files; an item's own window comes first.

    Raises:
        ConfigError: when ``channels`` is not 1 to 16.
        DataError: naming the file that is missing, damaged, not finite, of other channels, or no label map.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        channels: int = 1,
        label_map: Mapping[Any, int] | None = None,
        allow_missing_keys: bool = False,
        window: Sequence[float] | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not usable_channels(channels):
            raise ConfigError("LoadSiteImaged", f"channels is {channels!r}", "Use 1 (grey), 3 (RGB) or up to 16.")
        self.channels = channels
        self.label_map = label_map
        self.window = window

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with paths replaced by tensors."""
        item = dict(data)
        options = {name: item.pop(name, None) for name in _OPTIONS}
        images = _paths(item["image"]) if isinstance(item.get("image"), (str, Path, list, tuple, Raw)) else ()
        index = options["slice_index"]
        sizes: dict[str, tuple[int, ...]] = {}
        size: tuple[int, int] | None = None  # of the image's file, before it was reduced
        for key in self.key_iterator(item):
            if key == "label":
                raw = self._label(_paths(item[key]), options, images[0] if images else None)
                _require_size(raw, size)
                array = _slice(raw, index)
                if "image" in sizes and raw.full_size and array.shape[:2] != sizes["image"]:
                    array = _at(array, sizes["image"])  # both were reduced while reading, by other steps
            else:
                raw, array = self._image(_sources(item[key]), options)
                sizes["image"] = array.shape[:2]
                size = raw.size if key == "image" else size
            plane = np.ascontiguousarray(array.transpose(2, 0, 1))
            item[key] = _meta_tensor(plane, raw, index)
            if key == "label" and (options["mask"] or {}).get("ignore") is not None:
                item[key].meta["ignores"] = True
        return item

    def _label(self, paths: Sequence[Path], options: Mapping[str, Any], image: Path | None) -> Raw:
        entry = dict(options["mask"] or {})
        classes = entry.pop("classes", None)
        rule = parse_rule(paths[0], entry or None, classes or 1)
        mapping = options["label_map"] or self.label_map or {}
        pairs = tuple((int(source), int(target)) for source, target in mapping.items())
        return read_label(paths, Labelling(rule, classes, pairs), image)

    def _image(self, sources: Sequence[Path | Raw], options: Mapping[str, Any]) -> tuple[Raw, np.ndarray]:
        """Return the first file, and the picture (X, Y, C) in [0, 1]."""
        index = options["slice_index"]
        read = read_raw if index is None else read_volume
        files = [source if isinstance(source, Raw) else read(source) for source in sources]
        check_one_grid(files)
        declared = options["window"] if options["window"] is not None else self.window
        parts = [scaled(_slice(raw, index), windows(raw, declared)) for raw in files]
        if len(parts) > 1:
            parts = [_grey(part) for part in parts]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        order = options["channel_order"]
        if order is not None and array.shape[2] == len(order):
            array = array[..., list(order)]
        return files[0], self._as_channels(files[0].path, array)

    def _as_channels(self, path: Path, array: np.ndarray) -> np.ndarray:
        found = array.shape[2]
        require_channels(path, found, self.channels)
        if self.channels == 1 and found == 3:
            return np.asarray((array @ LUMINANCE)[..., None], dtype=np.float32)
        if self.channels == 3 and found == 1:
            return np.repeat(array, 3, axis=2).astype(np.float32, copy=False)
        return array.astype(np.float32, copy=False)


def label_values(path: Path, array: np.ndarray, label_map: Mapping[Any, int] | None = None) -> np.ndarray:
    """Return the label values of an array (X, Y, C) as uint8 (X, Y, 1); see `masks.decode.decode`.

    Raises:
        DataError: when the array is coloured, not whole-numbered, or outside 0..255.
    """
    return decode(Raw(path, array, np.eye(4), volume=False), label_map=label_map)


def observed_values(raw: Raw, slice_index: int | None = None, label_map: Mapping[Any, int] | None = None) -> set[int]:
    """Return the values that occur in a label file, or in one slice of it; errors as :func:`label_values`."""
    array = decode(raw, label_map=label_map)
    return {int(value) for value in distinct(array if slice_index is None else array[:, :, slice_index])}


def _sources(entry: Any) -> tuple[Path | Raw, ...]:
    parts = entry if isinstance(entry, (list, tuple)) else (entry,)
    return tuple(part if isinstance(part, Raw) else Path(part) for part in parts)


def _paths(entry: Any) -> tuple[Path, ...]:
    return tuple(source.path if isinstance(source, Raw) else source for source in _sources(entry))


def _slice(raw: Raw, index: int | None) -> np.ndarray:
    """Return (X, Y, C) of a flat picture or of one slice."""
    if index is None:
        if raw.volume:
            reason = f"it is a volume of {raw.slices} slices and no slice was asked for"
            raise DataError(raw.path, reason, "Give the item a slice_index; image and label are both volumes.")
        return raw.array
    if not raw.volume or not 0 <= index < (raw.slices or 0):
        raise DataError(raw.path, f"it has no slice {index}", "Image and label must be volumes of the same size.")
    return np.asarray(raw.array[:, :, index])


def _grey(array: np.ndarray) -> np.ndarray:
    """Return one channel of a file that is one of several: a grey picture, or the grey of a picture saved as RGB."""
    return array if array.shape[2] == 1 else np.asarray((array @ LUMINANCE)[..., None])


def check_one_grid(files: Sequence[Raw]) -> None:
    """Refuse files of one image, one a channel, that do not lie on the same voxels.

    Raises:
        DataError: naming the file and the one that it differs from.
    """
    for raw in files[1:]:
        first = files[0]
        if raw.channels not in (1, 3):
            raise DataError(raw.path, f"it has {raw.channels} channels and is one of several files", "One a file.")
        if raw.array.shape[:-1] != first.array.shape[:-1]:
            sizes = [" x ".join(str(n) for n in part.array.shape[:-1]) for part in (raw, first)]
            reason = f"it is {sizes[0]} and {first.path.name} of the same image is {sizes[1]}"
            raise DataError(raw.path, reason, "Resample the sequences onto one grid first.")
        placed = raw.frame is not None and first.frame is not None
        if placed and not np.allclose(raw.affine, first.affine, atol=SAME_PLACE):
            reason = f"it does not lie on the voxels of {first.path.name} of the same image"
            raise DataError(raw.path, reason, "Resample the sequences onto one grid first.")


def _require_size(label: Raw, size: tuple[int, int] | None) -> None:
    """Refuse a mask of another size than its image: resized to the network's it would be drawn somewhere else.

    Raises:
        DataError: naming the mask's file and both sizes.
    """
    if size is not None and label.size != size:
        reason = f"the mask is {label.size[0]} x {label.size[1]} and its image {size[0]} x {size[1]}"
        raise DataError(label.path, reason, "Export the mask at the size of its image.")


def _at(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring a label (X, Y, 1) to another size, by the nearest pixel."""
    rows, columns = (
        np.minimum((np.arange(wanted) + 0.5) * have / wanted, have - 1).astype(int)
        for wanted, have in zip(size, array.shape, strict=False)
    )
    return np.asarray(array[rows][:, columns])


def _meta_tensor(array: np.ndarray, raw: Raw, index: int | None) -> MetaTensor:
    affine = raw.affine
    if index is not None:
        step = np.eye(4)
        step[2, 3] = index
        affine = affine @ step
    meta: dict[str, Any] = {
        "filename_or_obj": str(raw.path),
        "affine": affine,
        "original_affine": affine,
        "spatial_shape": np.asarray(array.shape[1:]),
        "original_channel_dim": 0,
        "space": "RAS",
    }
    if index is not None:
        meta |= {"patch_index": index, "frame_slices": raw.slices}
    if raw.frame is not None:
        meta |= {
            "frame_shape": np.asarray(raw.frame.shape),
            "frame_affine": raw.frame.affine,
            "frame_orientation": raw.frame.orientation,
        }
    if raw.full_size is not None:
        meta["full_shape"] = np.asarray(raw.full_size)
    return MetaTensor(array, meta=meta)
