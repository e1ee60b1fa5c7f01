# SPDX-License-Identifier: Apache-2.0
"""What build-datalist writes about masks: said aloud, or refused with both ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.cli.build_datalist import mask_rule
from dsfedmed.data.build import BuildSettings, build_paired
from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError, DataError
from tests.data.files.making import png, shape_of

DISC = np.hypot(*(np.mgrid[:40, :40] - np.array([18, 22])[:, None, None])) < 11


def folder_of(root: Path, masks: list[np.ndarray]) -> Path:
    for number, mask in enumerate(masks):
        png(root / f"images/{number:02}.png", shape_of(number, 40, 40))
        png(root / f"labels/{number:02}.png", mask)
    return root


def labels_read(root: Path) -> list[np.ndarray]:
    found, load = load_datalist(root), LoadSiteImaged()
    return [load(found.document(item))["label"].numpy()[0].T for part in found.parts.values() for item in part]


def built(root: Path, **settings: object) -> dict[str, object]:
    build_paired(root, BuildSettings(**settings))  # type: ignore[arg-type]
    document: dict[str, object] = json.loads((root / "datalist.json").read_text())
    return document


def test_soft_edges_become_a_threshold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    edge = np.clip((10.9 - np.hypot(*(np.mgrid[:40, :40] - np.array([18, 22])[:, None, None]))) / 3 + 0.5, 0, 1)
    root = folder_of(tmp_path, [np.rint(edge * 255).astype(np.uint8)] * 6)
    assert built(root)["mask"] == {"kind": "threshold", "above": 127.5}
    assert "6 masks have soft edges" in caplog.text
    for label in labels_read(root):
        np.testing.assert_array_equal(label, DISC)
    with pytest.raises(DataError, match="2 classes are named"):
        built(root, force=True, label_names=("disc", "cup"))


def test_one_colour_on_black_is_the_class_and_several_are_refused_with_their_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    red = np.where(DISC[..., None], (200, 10, 10), 0).astype(np.uint8)
    root = folder_of(tmp_path / "red", [red] * 4)
    assert built(root)["mask"] == {"kind": "colours", "colours": {"#000000": 0, "#c80a0a": 1}}
    assert "#c80a0a is label 1" in caplog.text
    np.testing.assert_array_equal(labels_read(root)[0], DISC)
    blue = red.copy()
    blue[0, :4] = (0, 0, 250)
    root = folder_of(tmp_path / "two", [blue] * 4)
    with pytest.raises(DataError, match=r"colour pictures \(#000000 \d+ pixels, #c80a0a \d+ pixels, #0000fa 16 pix"):
        built(root)
    rule = mask_rule("colours=#000000:0,#c80a0a:1,#0000fa:2")
    assert built(root, mask=rule, label_names=("disc", "dot"))["labels"] == {
        "0": "background",
        "1": "disc",
        "2": "dot",
    }
    assert set(np.unique(labels_read(root)[0])) == {0, 1, 2}


def test_object_numbers_are_not_mistaken_for_classes(tmp_path: Path) -> None:
    numbered = np.zeros((40, 40), np.uint8)
    for number in range(9):
        y, x = divmod(number, 3)
        numbered[y * 12 : y * 12 + 8, x * 12 : x * 12 + 8] = number + 1
    root = folder_of(tmp_path, [numbered] * 4)
    with pytest.raises(DataError, match=r"numbers of single objects \(4 of 4 files\)"):
        built(root)
    assert built(root, mask=MaskRule(kind="instances"), label_names=("nucleus",))["mask"] == {"kind": "instances"}
    np.testing.assert_array_equal(labels_read(root)[0], numbered > 0)


def test_two_values_that_are_not_zero_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folder_of(tmp_path, [np.where(DISC, 2, 1).astype(np.uint8)] * 4)
    assert built(root)["label_map"] == {"1": 0, "2": 1}
    assert "masks hold 1 and 2: the larger is label 1" in caplog.text
    np.testing.assert_array_equal(labels_read(root)[0], DISC)


def test_files_with_different_numbers_for_the_one_class_are_refused(tmp_path: Path) -> None:
    masks = [DISC * np.uint8(value) for value in (255, 255, 128, 128, 255, 128)]
    root = folder_of(tmp_path, masks)
    with pytest.raises(DataError, match=r"label values are \[0, 128, 255\] \(3 files: two-valued"):
        built(root)
    document = {"labels": {"0": "background", "1": "lesion"}, "label_map": {}}
    for index, part in enumerate(("training", "validation", "test")):
        pair = [{"image": f"images/{n:02}.png", "label": f"labels/{n:02}.png"} for n in (2 * index, 2 * index + 1)]
        document[part] = pair  # type: ignore[assignment]
    (root / "datalist.json").write_text(json.dumps(document))
    errors = [finding for finding in check_site(root) if finding.level == "error"]
    assert [error.reason for error in errors] == [
        "masks of 0 and one other number use different ones: 128 (3 files), 255 (3 files)"
    ]


def test_several_masks_of_an_image_are_joined_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As breast ultrasound's public set has them: all in one folder, a second lesion in a second file."""
    for number in range(4):
        png(tmp_path / f"benign ({number}).png", shape_of(number, 40, 40))
        png(tmp_path / f"benign ({number})_mask.png", np.where(DISC & (np.arange(40) < 20), 255, 0).astype(np.uint8))
    png(tmp_path / "benign (2)_mask_1.png", np.where(DISC & (np.arange(40) >= 20), 255, 0).astype(np.uint8))
    build_paired(tmp_path, BuildSettings(), images=".", labels=".", label_suffix="_mask")
    assert "1 images have several masks: their union is taken" in caplog.text
    areas = sorted(int(label.sum()) for label in labels_read(tmp_path))
    assert areas[-1] == int(DISC.sum())
    assert len(set(areas[:3])) == 1


def test_masks_without_an_image_and_files_that_are_none_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder_of(tmp_path, [DISC * np.uint8(255)] * 4)
    png(root / "labels/extra.png", DISC * np.uint8(255))
    (root / "images/notes.txt").write_text("x")
    built(root)
    assert "1 files have no image and are left out (extra.png)" in caplog.text
    assert "1 files are no images and are left out (notes.txt)" in caplog.text


def test_an_ignored_value_goes_into_the_datalist(tmp_path: Path) -> None:
    masks = []
    for _ in range(4):
        mask = DISC.astype(np.uint8)
        mask[0] = 77
        masks.append(mask)
    root = folder_of(tmp_path, masks)
    assert built(root, mask=mask_rule(None, ignore=77))["mask"] == {"kind": "values", "ignore": 77}
    assert set(np.unique(labels_read(root)[0])) == {0, 1, 255}
    assert load_datalist(root).ignore == 255
    assert [finding for finding in check_site(root) if finding.level == "error"] == []


@pytest.mark.parametrize("text", ["magic", "threshold=x", "colours=red", "instances=3"])
def test_what_stands_behind_mask_is_checked(text: str) -> None:
    with pytest.raises(ConfigError, match="--mask"):
        mask_rule(text)
