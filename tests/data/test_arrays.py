# SPDX-License-Identifier: Apache-2.0
"""A part stacked at network size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Resized

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.arrays import SiteArrays, generator_pairs, load_part
from dsfedmed.data.batches import augmented_batches
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.facts import site_facts
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.errors import DataError
from tests.data.conftest import MakeSite, write_image

RESIZE = Compose([LoadSiteImaged(), Resized(("image", "label"), (8, 8), mode=("bilinear", "nearest"))])


def test_plain_tensors_of_one_size(make_site: MakeSite) -> None:
    arrays = load_part(load_datalist(make_site()), "training", RESIZE)
    assert (arrays.images.shape, arrays.labels.shape) == ((3, 1, 8, 8), (3, 1, 8, 8))
    assert (arrays.images.dtype, arrays.labels.dtype) == (torch.float32, torch.uint8)
    assert not isinstance(arrays.images, MetaTensor)
    assert arrays.images.min() >= 0
    assert arrays.images.max() <= 1
    assert arrays.labels.unique().tolist() == [0, 1, 2]
    assert arrays.cases == ("training0", "training1", "training2")
    assert len(arrays) == 3


def test_slices_of_volumes(make_volume: Callable[..., Path]) -> None:
    arrays = load_part(load_datalist(make_volume()), "training", LoadSiteImaged())
    assert arrays.images.shape == (2, 1, 7, 5)
    assert arrays.images[1].mean() > arrays.images[0].mean() > 0
    assert arrays.labels.sum().item() == 12


@pytest.mark.parametrize(
    ("spoil", "name", "said"),
    [
        (lambda path: path.write_bytes(b"no"), "images/training1.png", "cannot be read"),
        (lambda path: path.unlink(), "images/training1.png", "missing"),
        (lambda path: write_image(path, np.full((12, 16), 5, np.uint8)), "labels/training1.png", "5 are not declared"),
        (lambda path: write_image(path, np.full((12, 16), 255, np.uint8)), "labels/training1.png", "label_map"),
    ],
)
def test_bad_files_are_named(make_site: MakeSite, spoil: Callable[[Path], object], name: str, said: str) -> None:
    folder = make_site()
    spoil(folder / name)
    with pytest.raises(DataError, match=said) as caught:
        load_part(load_datalist(folder), "training", RESIZE)
    assert caught.value.where == str(folder / name)


def test_empty_parts_missing_labels_and_mixed_sizes(make_site: MakeSite) -> None:
    with pytest.raises(DataError, match="validation part is empty"):
        load_part(load_datalist(make_site("empty", validation=0)), "validation", RESIZE)
    folder = make_site("bare")
    document = json.loads((folder / "datalist.json").read_text())
    del document["test"][0]["label"]
    (folder / "datalist.json").write_text(json.dumps(document))
    inference = Compose([LoadSiteImaged(allow_missing_keys=True)])
    with pytest.raises(DataError, match=r"test0\.png.*no label"):
        load_part(load_datalist(folder), "test", inference)
    mixed = make_site("mixed")
    for name in ("images", "labels"):
        write_image(mixed / name / "training1.png", np.zeros((6, 6), np.uint8))
    with pytest.raises(DataError, match=r"training1\.png.*the ones before"):
        load_part(load_datalist(mixed), "training", LoadSiteImaged())


def test_a_failing_transform_names_the_file(make_site: MakeSite) -> None:
    def fail(item: dict[str, object]) -> dict[str, object]:
        raise ValueError("no such axis")

    with pytest.raises(DataError, match=r"training0\.png.*no such axis"):
        load_part(load_datalist(make_site()), "training", Compose([LoadSiteImaged(), fail]))


def test_a_declared_ignore_value_becomes_255_and_no_new_value_comes_of_resizing(make_site: MakeSite) -> None:
    folder = make_site(mask={"ignore": 7})
    label = np.zeros((12, 16), np.uint8)
    label[2:9, 3:12], label[:3] = 2, 7
    write_image(folder / "labels/training0.png", label)
    with pytest.raises(DataError, match="7 are not declared"):
        load_part(replace(load_datalist(folder), mask=MaskRule()), "training", RESIZE)
    arrays = load_part(load_datalist(folder), "training", RESIZE)
    assert arrays.labels[0].unique().tolist() == [0, 2, 255]
    assert arrays.labels[0, 0, :, :2].unique().tolist() == [255]  # (x, y): the rows on top
    assert site_facts(load_datalist(folder)).label_values == (0, 1, 2)


def test_the_standard_augmentation_makes_no_new_label() -> None:
    definition = BundleDefinition(Path(__file__).parents[2] / "bundles" / "light_unet_segmentation")
    labels = torch.randint(0, 3, (4, 1, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels[labels == 2] = 255
    batches = augmented_batches(torch.rand(4, 1, 64, 64), labels, definition.augmentation(), 2, 0)
    assert set(torch.cat([batch["label"] for batch in batches]).unique().tolist()) == {0, 1, 255}


def test_a_generator_gets_no_ignored_pixels() -> None:
    """First image: a quarter ignored, becomes background. Second: three quarters, left out. Third: as it is."""
    labels = torch.tensor([[[[1, 255], [2, 0]]], [[[255, 255], [255, 1]]], [[[1, 1], [0, 0]]]], dtype=torch.uint8)
    arrays = SiteArrays(torch.rand(3, 1, 2, 2), labels, ("a", "b", "c"))
    found = generator_pairs(arrays, "site_a")
    assert found.labels.flatten(1).tolist() == [[1, 0, 2, 0], [1, 1, 0, 0]]
    assert found.cases == ("a", "c")
    assert torch.equal(found.images, arrays.images[[0, 2]])
    assert generator_pairs(found, "site_a") is found
    with pytest.raises(DataError, match="site_a: more than half"):
        generator_pairs(SiteArrays(arrays.images[1:2], labels[1:2], ("b",)), "site_a")
