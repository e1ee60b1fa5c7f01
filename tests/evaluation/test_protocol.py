# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Resized
from PIL import Image

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.evaluation.legacy import legacy_eval
from dsfedmed.evaluation.metrics import case_metrics
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


class Constant(torch.nn.Module):
    """The same logit everywhere."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images[:, :1], self.logit)


@pytest.mark.parametrize(("logit", "whole"), [(0.1, True), (-0.1, False)])
def test_a_probability_above_a_half_is_foreground(
    site: SiteDatalist, preprocessing: Any, logit: float, whole: bool
) -> None:
    """Probabilities of 0.525 and 0.475: all of the image, or nothing of it."""
    seen: list[ScoredImage] = []
    evaluate(Constant(logit), site, "test", preprocessing, ForwardPass(1, 2), on_image=seen.append)
    assert [bool(image.prediction.all()) for image in seen] == [whole] * 3
    assert [bool(image.prediction.any()) for image in seen] == [whole] * 3
    dice = quick_dice(Constant(logit), load_part(site, "test", preprocessing), ForwardPass(1, 2), True)
    assert (dice > 0) is whole


def test_an_image_says_which_classes_it_has_and_which_were_found(site: SiteDatalist, preprocessing: Any) -> None:
    """A second image without a lesion, in which the bright rectangle is found; a third whose rectangle is ignored."""
    for number, value in ((1, 0), (2, 9)):
        label = np.array(Image.open(site.root / f"label{number}.png"))
        Image.fromarray(label * value).save(site.root / f"label{number}.png")
    found = np.array(Image.open(site.root / "image2.png"))
    Image.fromarray(np.where(np.array(Image.open(site.root / "label2.png")) == 9, found, 0)).save(
        site.root / "image2.png"
    )
    seen: list[ScoredImage] = []
    marked = replace(site, mask=MaskRule(ignore=9))
    evaluate(Brightness(), marked, "test", preprocessing, ForwardPass(1), on_image=seen.append)
    assert [image.drawn for image in seen] == [(True,), (False,), (False,)]
    assert [image.found for image in seen[:2]] == [(True,), (True,)]
    assert bool(seen[2].prediction.any())
    assert seen[2].found == (bool((seen[2].prediction & (torch.tensor(found.T) < 200)).any()),)


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


def test_ignored_pixels_are_scored_nowhere(site: SiteDatalist, preprocessing: Any) -> None:
    """The upper half of every label is marked 9; what the network finds there changes no score."""
    for number in range(3):
        path = site.root / f"label{number}.png"
        label = np.array(Image.open(path))
        label[: label.shape[0] // 3] = 9
        Image.fromarray(label).save(path)
    document = json.loads((site.root / "datalist.json").read_text())
    (site.root / "datalist.json").write_text(json.dumps({**document, "mask": {"ignore": 9}}))
    marked = load_datalist(site.root)
    before = evaluate(Brightness(), marked, "test", preprocessing, ForwardPass(1, 2))
    arrays = load_part(marked, "test", preprocessing)
    quick = quick_dice(Brightness(), arrays, ForwardPass(1, 2))
    old = legacy_scores(Brightness(), arrays, ForwardPass(1, 2))
    for number in range(3):
        path = site.root / f"image{number}.png"
        image = np.array(Image.open(path))
        image[: image.shape[0] // 3 - 4] = 255  # found everywhere; bilinear resizing carries it some rows down
        Image.fromarray(image).save(path)
    assert evaluate(Brightness(), marked, "test", preprocessing, ForwardPass(1, 2)) == before
    bright = load_part(marked, "test", preprocessing)
    assert quick_dice(Brightness(), bright, ForwardPass(1, 2)) == quick
    assert legacy_scores(Brightness(), bright, ForwardPass(1, 2)) == old
    assert not torch.equal(arrays.images, bright.images)
    expected = [
        case_metrics(image > 0.5, label == 1, None, label != 255).dice[0]
        for image, label in zip(arrays.images, arrays.labels, strict=True)
    ]
    assert quick == pytest.approx(np.mean(expected))


def test_images_without_any_label_are_left_out_or_named(site: SiteDatalist, preprocessing: Any) -> None:
    arrays = load_part(site, "test", preprocessing)
    labels = arrays.labels.clone()
    labels[1] = 255
    mixed, rest = replace(arrays, labels=labels), [0, 2]
    kept = SiteArrays(arrays.images[rest], labels[rest], ("a", "b"))
    for score in (quick_dice, legacy_scores):
        assert score(Brightness(), mixed, ForwardPass(1, 1)) == score(Brightness(), kept, ForwardPass(1, 1))
        with pytest.raises(DataError, match="no labelled images"):
            score(Brightness(), replace(arrays, labels=torch.full_like(labels, 255)), ForwardPass(1, 1))
    Image.fromarray(np.full((40, 40), 9, np.uint8)).save(site.root / "label1.png")
    with pytest.raises(DataError, match=r"label1\.png: every pixel of the label is to be ignored"):
        evaluate(Brightness(), replace(site, mask=MaskRule(ignore=9)), "test", preprocessing, ForwardPass(1, 2))
