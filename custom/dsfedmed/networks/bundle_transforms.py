# SPDX-License-Identifier: Apache-2.0
"""What the bundles' configs name by ``_target_`` beside MONAI's own classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dsfedmed.data.datalist import FILE_NAME, load_datalist
from dsfedmed.data.formats import SUFFIXES, suffix_of
from dsfedmed.data.labels import to_channels, to_label_map
from dsfedmed.errors import DataError


class LabelToChannelsd(MapTransform):
    """Turn label maps (1, X, Y) into mask channels (K, X, Y) float32 in {0, 1}."""

    def __init__(
        self, keys: KeysCollection, num_classes: int, nested: bool = True, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_classes, self.nested = num_classes, nested

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its label maps replaced."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = _like(item[key], to_channels(_plain(item[key]), self.num_classes, self.nested))
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

    Raises:
        DataError: no such folder, or no image in it.
    """
    root = Path(folder)
    if (root / FILE_NAME).is_file():
        return [{k: v for k, v in item.items() if k in ("image", "slice_index")} for item in site_items(folder, "test")]
    files = sorted(path for path in root.glob("*") if path.is_file() and suffix_of(path) in SUFFIXES)
    if not files:
        raise DataError(root, "no image found", f"Give a folder with {FILE_NAME} or with image files in it.")
    return [{"image": str(path)} for path in files]


def _plain(value: torch.Tensor) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def _like(source: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Give ``result`` the metadata of ``source``, so that it can be saved under the image's name."""
    return MetaTensor(result, meta=source.meta) if isinstance(source, MetaTensor) else result
