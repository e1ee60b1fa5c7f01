# SPDX-License-Identifier: Apache-2.0
"""The transforms and item lists that bundle configurations name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from dsfedmed.bundles.transforms import ChannelsToLabeld, LabelToChannelsd, LeaveOutIgnoredd, image_items, site_items
from dsfedmed.errors import DataError


def test_label_to_channels_and_back_by_hand() -> None:
    label = MetaTensor(torch.tensor([[[0, 1, 2]]], dtype=torch.uint8), meta={"filename_or_obj": "a.png"})
    item = LabelToChannelsd("label", num_classes=2)({"label": label, "other": 1})
    assert item["label"].tolist() == [[[0, 1, 1]], [[0, 0, 1]]]
    assert item["label"].meta["filename_or_obj"] == "a.png"
    assert item["other"] == 1
    back = ChannelsToLabeld("label")(item)["label"]
    assert back.tolist() == [[[0, 1, 2]]]
    assert back.dtype == torch.uint8
    exclusive = LabelToChannelsd("label", num_classes=2, nested=False)({"label": label})["label"]
    assert exclusive.tolist() == [[[0, 1, 0]], [[0, 0, 1]]]


def test_plain_tensors_stay_plain_and_missing_keys_may_be_allowed() -> None:
    result = LabelToChannelsd("label", 1)({"label": torch.ones(1, 2, 2)})["label"]
    assert not isinstance(result, MetaTensor)
    assert LabelToChannelsd("label", 1, allow_missing_keys=True)({"image": 1}) == {"image": 1}
    with pytest.raises(KeyError):
        ChannelsToLabeld("pred")({"image": 1})


def test_images_come_from_the_folder_or_its_datalist(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    assert [Path(item["image"]).name for item in image_items(str(tmp_path))] == ["a.jpg", "b.png"]
    labels = {"0": "background", "1": "x"}
    (tmp_path / "datalist.json").write_text(
        json.dumps({"name": "s", "labels": labels, "test": [{"image": "b.png", "label": "b.png"}]})
    )
    assert image_items(str(tmp_path)) == [{"image": str(tmp_path / "b.png")}]
    with pytest.raises(DataError, match="training part is empty"):
        site_items(str(tmp_path), "training")


def test_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image found"):
        image_items(str(tmp_path))


def test_ignored_pixels_are_nan_only_where_the_datalist_declares_them() -> None:
    values = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    declared = MetaTensor(values, meta={"filename_or_obj": "a.png", "ignores": True})
    channels = LabelToChannelsd("label", 1)({"label": declared})["label"]
    assert channels[0, 0, :2].tolist() == [0.0, 1.0]
    assert bool(channels[0, 0, 2].isnan())
    with pytest.raises(DataError, match=r"a\.png: label value 255"):
        LabelToChannelsd("label", 1)({"label": MetaTensor(values, meta={"filename_or_obj": "a.png"})})
    saturate = LabelToChannelsd("label", 1, saturate=True)
    assert saturate({"label": declared})["label"].tolist() == [[[0, 1, 0]]]
    assert saturate({"label": values})["label"].tolist() == [[[0, 1, 1]]]
    item = {"pred": torch.tensor([[[1.0, 1.0, 1.0]]]), "label": channels}
    left = LeaveOutIgnoredd(["pred", "label"])(item)
    assert (left["pred"].tolist(), left["label"].tolist()) == ([[[1, 1, 0]]], [[[0, 1, 0]]])
