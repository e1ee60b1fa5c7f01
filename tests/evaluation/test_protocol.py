# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Resized
from PIL import Image

from dsfedmed.data.arrays import load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.evaluation.legacy import legacy_eval
from dsfedmed.evaluation.protocol import ForwardPass, ScoredImage, evaluate, legacy_scores, quick_dice, resize_logits

SIZES = ((48, 32), (40, 40), (33, 21))  # width, height: not square, and not the network's


class Brightness(torch.nn.Module):
    """Answers with logits that are positive where the image is bright: a network with a known result."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.frozen = torch.nn.BatchNorm2d(1).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        return torch.cat([(images[:, :1] - 0.5) * 8] * self.channels, dim=1)


@pytest.fixture
def site(tmp_path: Path) -> SiteDatalist:
    """Return a site of three images whose bright rectangle is the label, two of one patient."""
    items = []
    for number, (width, height) in enumerate(SIZES):
        label = np.zeros((height, width), dtype=np.uint8)
        label[height // 4 : height // 2, width // 4 : 3 * width // 4] = 1
        Image.fromarray(label * 200 + 20).save(tmp_path / f"image{number}.png")
        Image.fromarray(label).save(tmp_path / f"label{number}.png")
        items.append({"image": f"image{number}.png", "label": f"label{number}.png", "case": f"patient{number // 2}"})
    document: dict[str, Any] = {
        "name": "toy",
        "labels": {"0": "background", "1": "lesion"},
        "training": [],
        "validation": [],
        "test": items,
    }
    (tmp_path / "datalist.json").write_text(json.dumps(document), encoding="utf-8")
    return load_datalist(tmp_path)


@pytest.fixture
def preprocessing() -> Callable[[dict[str, Any]], Any]:
    """Return the transform to network size 64."""
    return Compose([LoadSiteImaged(), Resized(("image", "label"), (64, 64), mode=("bilinear", "nearest"))])


def test_each_image_is_scored_at_its_own_size(site: SiteDatalist, preprocessing: Any) -> None:
    seen: list[ScoredImage] = []
    network = Brightness()
    found = evaluate(network, site, "test", preprocessing, ForwardPass(1, 2), on_image=seen.append)
    assert [tuple(image.target.shape) for image in seen] == [(1, *size) for size in SIZES]
    assert [image.metrics for image in seen] == found
    assert [image.index for image in seen] == [0, 1, 2]
    assert [metrics.case for metrics in found] == [0, 0, 1]
    assert all(metrics.dice[0] > 0.9 and metrics.hd95[0] <= 1.5 for metrics in found)
    assert network.training
    assert not network.frozen.training  # the mode of every part is put back


def test_batch_size_changes_nothing(site: SiteDatalist, preprocessing: Any) -> None:
    one, all_at_once = (evaluate(Brightness(), site, "test", preprocessing, ForwardPass(1, size)) for size in (1, 8))
    assert one == all_at_once


def test_quick_dice_is_the_mean_dice_at_network_size(site: SiteDatalist, preprocessing: Any) -> None:
    arrays = load_part(site, "test", preprocessing)
    expected = []
    for image, label in zip(arrays.images, arrays.labels, strict=True):
        predicted, true = image > 0.5, label > 0
        expected.append(2 * int((predicted & true).sum()) / int(predicted.sum() + true.sum()))
    assert quick_dice(Brightness(), arrays, ForwardPass(1, 2)) == pytest.approx(np.mean(expected))


def test_legacy_scores_do_not_depend_on_the_batches(site: SiteDatalist, preprocessing: Any) -> None:
    arrays = load_part(site, "test", preprocessing)
    whole = legacy_eval((arrays.images - 0.5) * 8, (arrays.labels > 0).float())
    found = legacy_scores(Brightness(), arrays, ForwardPass(1, 2))
    assert found.dice == pytest.approx(whole.dice)
    assert found.iou == pytest.approx(whole.iou)


def test_resizing_logits_keeps_the_axes_apart() -> None:
    logits = torch.zeros(1, 1, 8, 8)
    logits[:, :, 6:, :] = 1.0  # high x
    resized = resize_logits(logits, (16, 4))
    assert resized.shape == (1, 1, 16, 4)
    assert float(resized[0, 0, -1, 0]) == 1
    assert float(resized[0, 0, 0, -1]) == 0


def test_an_empty_part_names_the_site(site: SiteDatalist, preprocessing: Any) -> None:
    with pytest.raises(DataError, match="'validation' has no images"):
        evaluate(Brightness(), site, "validation", preprocessing, ForwardPass(1))


def test_another_number_of_classes_is_refused(site: SiteDatalist, preprocessing: Any) -> None:
    with pytest.raises(ConfigError, match="expected 1 channels"):
        evaluate(Brightness(channels=2), site, "test", preprocessing, ForwardPass(1))


def test_an_undeclared_label_value_names_the_file(site: SiteDatalist, preprocessing: Any) -> None:
    assert site.parts["test"][1].label is not None
    Image.fromarray(np.full((40, 40), 9, dtype=np.uint8)).save(site.parts["test"][1].label)
    with pytest.raises(DataError, match=r"label1.png"):
        evaluate(Brightness(), site, "test", preprocessing, ForwardPass(1))
