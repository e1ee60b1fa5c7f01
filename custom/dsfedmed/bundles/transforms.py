# SPDX-License-Identifier: Apache-2.0
"""What the bundles' configs name by ``_target_`` beside MONAI's own classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dsfedmed.bundles.saving import result_stem
from dsfedmed.data.datalist import FILE_NAME, load_datalist
from dsfedmed.data.files.listing import image_files
from dsfedmed.data.files.read import probe
from dsfedmed.data.labels import to_channels, to_label_map, valid_pixels
from dsfedmed.errors import DataError


class LabelToChannelsd(MapTransform):
    """Turn label maps (1, X, Y) into mask channels (K, X, Y) float32 in {0, 1}, NaN where a pixel is ignored.

    With ``saturate`` a value above K counts as K, as in masks stored as 0 and 255, and an ignored pixel as background;
    else a value above K is an error.
    """

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        nested: bool = True,
        saturate: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_classes, self.nested, self.saturate = num_classes, nested, saturate

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its label maps replaced.

        Raises:
            DataError: a label value above ``num_classes``.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            given = item[key]
            meta = given.meta if isinstance(given, MetaTensor) else {}
            label = _plain(given)
            ignored = ~valid_pixels(label) if meta.get("ignores") else torch.zeros_like(label, dtype=torch.bool)
            label = label.masked_fill(ignored, 0)
            if not self.saturate:
                self._check(label, meta)
            channels = to_channels(label.clamp(max=self.num_classes), self.num_classes, self.nested)
            item[key] = _like(given, channels if self.saturate else channels.masked_fill(ignored, torch.nan))
        return item

    def _check(self, label: torch.Tensor, meta: Mapping[str, Any]) -> None:
        highest = int(label.max())
        if highest > self.num_classes:
            raise DataError(
                str(meta.get("filename_or_obj", "a label")),
                f"label value {highest}, but the bundle has {self.num_classes} foreground classes",
                "Map the file's values in the datalist's label_map, or set num_classes.",
            )


class LeaveOutIgnoredd(MapTransform):
    """Set what the mask channels ``label`` ignore (NaN) to 0, there and under all other keys, so that no score sees it.

    Intersections and sizes are then those of the pixels with a label, and so are Dice and IoU. An image of nothing but
    ignored pixels counts as an empty mask that was found empty.
    """

    def __init__(self, keys: KeysCollection, label: str = "label", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label = label

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with (K, X, Y) tensors under ``keys`` that are 0 on ignored pixels."""
        item = dict(data)
        ignored = _plain(item[self.label]).isnan()
        for key in self.key_iterator(item):
            item[key] = _like(item[key], _plain(item[key]).masked_fill(ignored.to(item[key].device), 0))
        return item


class ChannelsToLabeld(MapTransform):
    """Turn mask channels (K, X, Y) in {0, 1} into a label map (1, X, Y) uint8."""

    def __init__(self, keys: KeysCollection, nested: bool = True, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.nested = nested

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its channels replaced."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = _like(item[key], to_label_map(_plain(item[key]), self.nested))
        return item


class ImageNames:
    """What ``MetricsSaver`` writes before each image's scores: its file, with the slice for slices of a volume."""

    def __call__(self, batch: Sequence[Mapping[Hashable, Any]]) -> list[dict[str, str]]:
        """Return one {"filename_or_obj": name} per item of the batch."""
        return [{"filename_or_obj": _image_name(item["image"].meta)} for item in batch]


class NameFromd(MapTransform):
    """Give what a network made from nothing of an image's (generated pictures) the file name of ``source``."""

    def __init__(self, keys: KeysCollection, source: str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.source = source

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with named tensors."""
        item = dict(data)
        own = item[self.source].meta
        meta = {key: own[key] for key in ("patch_index",) if key in own}
        path = Path(str(own["filename_or_obj"]))
        # SaveImaged takes off whatever follows the last dot: of "IM.0001" the number.
        meta["filename_or_obj"] = str(path.with_name(result_stem(path) + ".png"))
        for key in self.key_iterator(item):
            item[key] = MetaTensor(_plain(item[key]), meta=meta)
        return item


def site_items(folder: str, part: str) -> list[dict[str, Any]]:
    """Return one part of a site's datalist.json as items for ``LoadSiteImaged``.

    Raises:
        DataError: no usable datalist, or nothing in that part.
    """
    datalist = load_datalist(folder)
    items = [datalist.document(item) for item in datalist.parts[part]]
    if not items:
        raise DataError(datalist.root, f"its {part} part is empty", f'List images under "{part}" in {FILE_NAME}.')
    return items


def image_items(folder: str) -> list[dict[str, Any]]:
    """Return the images to segment: the datalist's test part, or every image file that lies in the folder.

    A volume becomes one item a slice (last axis), each with its ``slice_index``.

    Raises:
        DataError: no such folder, no image in it, or two images whose results would get the same name.
    """
    return _items(Path(folder), "image", ("image", "slice_index", "window", "channel_order"))


def label_items(folder: str) -> list[dict[str, Any]]:
    """Return the masks to draw images for, as ``image_items`` returns images.

    Raises:
        DataError: as ``image_items``.
    """
    return _items(Path(folder), "label", ("label", "slice_index", "label_map", "mask"))


def _items(root: Path, key: str, wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    if (root / FILE_NAME).is_file():
        found = [item for item in site_items(str(root), "test") if key in item]
        items = [{name: value for name, value in item.items() if name in wanted} for item in found]
    else:
        files = image_files(root)
        items = [item for path in files for item in _slices(path, key)]
    if not items:
        raise DataError(root, f"no {key} found", f"Give a folder with {FILE_NAME} or with image files in it.")
    named = [item[key][0] if isinstance(item[key], list) else item[key] for item in items]
    _refuse_equal_names([Path(name) for name in named])
    return items


def _slices(path: Path, key: str) -> list[dict[str, Any]]:
    count = probe(path).slices
    if count is None:
        return [{key: str(path)}]
    return [{key: str(path), "slice_index": index} for index in range(count)]


def _refuse_equal_names(paths: list[Path]) -> None:
    """Refuse two files whose results would overwrite each other (a.png and a.nii.gz in one folder)."""
    files = dict.fromkeys(paths)
    seen: dict[Path, Path] = {}
    for path in files:
        other = seen.setdefault(path.with_name(result_stem(path)), path)
        if other != path:
            raise DataError(path, f"its result would have the name of that of {other.name}", "Rename one of them.")


def _image_name(meta: Mapping[str, Any]) -> str:
    name, index = str(meta["filename_or_obj"]), meta.get("patch_index")
    return name if index is None else f"{name}#{int(index)}"


def _plain(value: torch.Tensor) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def _like(source: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Give ``result`` the metadata of ``source``, so that it can be saved under the image's name."""
    return MetaTensor(result, meta=source.meta) if isinstance(source, MetaTensor) else result
