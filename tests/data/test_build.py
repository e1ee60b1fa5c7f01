# SPDX-License-Identifier: Apache-2.0
"""Datalists built from folders: pairs, cases, label values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.build import BuildSettings, build_npy_layout, build_paired, split_cases
from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.errors import ConfigError, DataError
from tests.data.conftest import write_image

BY_PATIENT = BuildSettings(case_regex=r"^(p\d+)_", label_names=("lesion",))


def paired(folder: Path, patients: int = 8, views: int = 2, high: int = 1, suffix: str = "") -> Path:
    label = np.zeros((6, 8), np.uint8)
    label[2:4, 2:5] = high
    for patient in range(patients):
        for view in range(views):
            write_image(folder / f"images/p{patient}_{view}.jpg", np.full((6, 8), 10 * patient, np.uint8))
            write_image(folder / f"labels/p{patient}_{view}{suffix}.png", label)
    return folder


def test_patients_stay_whole_and_the_seed_decides(tmp_path: Path) -> None:
    folder = paired(tmp_path / "hospital")
    path = build_paired(folder, BY_PATIENT, split=(0.5, 0.25, 0.25))
    datalist = load_datalist(folder)
    cases = {part: {item.case for item in items} for part, items in datalist.parts.items()}
    assert {part: len(found) for part, found in cases.items()} == {"training": 4, "validation": 2, "test": 2}
    assert sum(len(items) for items in datalist.parts.values()) == 16
    assert not cases["training"] & cases["test"]
    assert (datalist.name, datalist.label_names) == ("hospital", ("lesion",))
    assert [finding for finding in check_site(folder) if finding.level == "error"] == []
    first = path.read_text()
    with pytest.raises(DataError, match="--force"):
        build_paired(folder, BY_PATIENT)
    again = BuildSettings(BY_PATIENT.case_regex, BY_PATIENT.label_names, force=True)
    assert build_paired(folder, again, split=(0.5, 0.25, 0.25)).read_text() == first
    other = BuildSettings(BY_PATIENT.case_regex, BY_PATIENT.label_names, seed=1, force=True)
    assert build_paired(folder, other, split=(0.5, 0.25, 0.25)).read_text() != first


def test_label_suffix_and_255(tmp_path: Path) -> None:
    folder = paired(tmp_path, high=255, suffix="_mask")
    build_paired(folder, BuildSettings(), label_suffix="_mask", name="ours")
    datalist = load_datalist(folder)
    assert (datalist.name, datalist.label_map, datalist.num_classes) == ("ours", {255: 1}, 1)


def test_values_with_gaps_are_not_guessed(tmp_path: Path) -> None:
    folder = paired(tmp_path, high=128)
    other = np.zeros((6, 8), np.uint8)
    other[2:4] = 255
    write_image(folder / "labels/p0_0.png", other)
    with pytest.raises(DataError, match=r"128.*--label-map"):
        build_paired(folder, BuildSettings())
    build_paired(folder, BuildSettings(label_map={128: 2, 255: 1}, label_names=("disc", "cup")))
    assert load_datalist(folder).label_map == {128: 2, 255: 1}


def test_incomplete_folders_are_named(tmp_path: Path) -> None:
    folder = paired(tmp_path)
    (folder / "labels/p3_1.png").unlink()
    with pytest.raises(DataError, match=r"p3_1\.jpg.*no label"):
        build_paired(folder, BY_PATIENT)
    write_image(folder / "labels/p3_1.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match="no case found"):
        build_paired(folder, BuildSettings(case_regex="^patient"))
    with pytest.raises(ConfigError, match="not valid"):
        build_paired(folder, BuildSettings(case_regex="("))
    with pytest.raises(ConfigError, match="sum to 1"):
        build_paired(folder, BY_PATIENT, split=(0.5, 0.5, 0.5))
    with pytest.raises(DataError, match="folder is missing"):
        build_paired(folder, BY_PATIENT, images="pictures")
    write_image(folder / "images/p0_0.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match="same name"):
        build_paired(folder, BY_PATIENT)
    two = paired(tmp_path / "two", high=2)
    write_image(two / "labels/p0_0.png", np.ones((6, 8), np.uint8))
    with pytest.raises(DataError, match="1 names are given"):
        build_paired(two, BY_PATIENT)


def test_folders_of_other_names_are_named_with_their_options(tmp_path: Path) -> None:
    folder = paired(tmp_path / "StMary", patients=1, views=1)
    (folder / "images").rename(folder / "scans")
    with pytest.raises(DataError, match=r"images: .*is missing \(other folders there: scans\)\. Try --images scans\.$"):
        build_paired(folder, BuildSettings())
    (folder / "labels").rename(folder / "my masks")
    with pytest.raises(DataError, match=r"StMary: the folders images and labels are missing") as both:
        build_paired(folder, BuildSettings())
    assert both.value.fix == "Try --images scans --labels 'my masks'."
    (folder / "old").mkdir()
    with pytest.raises(DataError, match=r"there: my masks, old, scans\)\. Name what .*--images NAME and --labels NAME"):
        build_paired(folder, BuildSettings())
    with pytest.raises(DataError, match=r"Name one site, such as `dsfedmed build-datalist .*/StMary`"):
        build_paired(tmp_path, BuildSettings())
    with pytest.raises(DataError, match=r"nothere: the folder is missing\. Give the folder of one site"):
        build_paired(tmp_path / "nothere", BuildSettings())


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        ("{}_seg", "There is p0_0_seg.png: try --label-suffix _seg."),
        ("{}-seg", "There is p0_0-seg.png: try --label-suffix=-seg."),
        ("gt_{}", "There is gt_p0_0.png: take 'gt_' out of the labels' names, so that both have one name."),
    ],
)
def test_labels_with_a_word_at_their_names_are_recognised(tmp_path: Path, labels: str, fix: str) -> None:
    folder = paired(tmp_path, patients=10)
    for path in (folder / "labels").iterdir():
        path.rename(path.with_stem(labels.format(path.stem)))
    with pytest.raises(DataError, match=r"p0_0\.jpg: no label of its name in .*labels \(and 19 more\)") as nineteen:
        build_paired(folder, BuildSettings())
    assert nineteen.value.fix == fix
    for view in ("p2_0", "p3_0"):
        (folder / f"labels/{labels.format(view)}.png").unlink()
    with pytest.raises(DataError) as nearly:  # 18 of 20 are still nearly all
        build_paired(folder, BuildSettings())
    assert nearly.value.fix == fix
    (folder / f"labels/{labels.format('p4_0')}.png").unlink()
    with pytest.raises(DataError, match=r"Add it or move it away"):
        build_paired(folder, BuildSettings())


def test_the_authors_npy_layout(tmp_path: Path) -> None:
    label = np.zeros((6, 8, 3))
    label[1:3, 4:7] = 1.0
    for client in ("BIDMC", "HK"):
        for patient in range(4):
            for z in range(2):
                write_image(tmp_path / client / f"data_npy/p{patient}_{z}.npy", np.zeros((6, 8, 3), np.uint8))
                write_image(tmp_path / client / f"label_npy/p{patient}_{z}.npy", label)
        write_image(tmp_path / client / "val_data_npy/p9_0.npy", np.zeros((6, 8, 3), np.uint8))
        write_image(tmp_path / client / "val_label_npy/p9_0.npy", label)
    paths = build_npy_layout(tmp_path, BY_PATIENT, validation_share=0.25)
    assert [path.parent.name for path in paths] == ["BIDMC", "HK"]
    datalist = load_datalist(tmp_path / "HK")
    assert {part: len(items) for part, items in datalist.parts.items()} == {"training": 6, "validation": 2, "test": 1}
    assert datalist.parts["test"][0].case == "p9"
    assert {finding.level for finding in check_site(tmp_path / "HK")} == {"warning"}  # blank pictures only
    with pytest.raises(DataError, match="data_npy"):
        build_npy_layout(tmp_path / "HK", BY_PATIENT)
    for path in (tmp_path / "HK/label_npy").iterdir():
        path.rename(path.with_stem(f"{path.stem}_seg"))
    with pytest.raises(DataError, match=r"take '_seg' out"):  # this layout has no option for it
        build_npy_layout(tmp_path, BuildSettings(force=True))


def test_volumes_of_three_slices_are_no_colours(tmp_path: Path) -> None:
    label = np.zeros((5, 7, 3), np.uint8)
    label[1:3, 2:4, 1] = 1
    write_image(tmp_path / "images/a.nii.gz", np.ones((5, 7, 3), np.int16))
    write_image(tmp_path / "labels/a.nii.gz", label)
    document = json.loads(build_paired(tmp_path, BuildSettings(), split=(1.0, 0.0, 0.0)).read_text())
    assert document["training"] == [{"image": "images/a.nii.gz", "label": "labels/a.nii.gz", "case": "a"}]
    assert [item.slice_index for item in load_datalist(tmp_path).parts["training"]] == [1]


@given(st.integers(1, 60), st.integers(0, 99), st.sampled_from([(0.6, 0.15, 0.25), (1.0, 0.0, 0.0), (0.9, 0.05, 0.05)]))
def test_splits_cover_every_case_once(count: int, seed: int, shares: tuple[float, float, float]) -> None:
    cases = [f"c{n}" for n in range(count)]
    groups = split_cases(cases, shares, seed)
    assert sorted(case for group in groups.values() for case in group) == sorted(cases)
    for share, group in zip(shares, groups.values(), strict=True):
        assert abs(len(group) - share * count) <= 2
        assert (share > 0) or not group
        assert count < 3 or share == 0 or group


def test_a_share_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not sum to 1"):
        build_paired(tmp_path, BuildSettings(), split=(float("nan"), 0.5, 0.5))
