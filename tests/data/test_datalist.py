# SPDX-License-Identifier: Apache-2.0
"""Datalists: what they mean, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.datalist import load_datalist, parse_datalist
from dsfedmed.errors import DataError
from tests.data.conftest import MakeSite


def test_items_labels_and_hash(make_site: MakeSite) -> None:
    folder = make_site()
    datalist = load_datalist(folder)
    assert {part: len(items) for part, items in datalist.parts.items()} == {"training": 3, "validation": 2, "test": 2}
    item = datalist.parts["training"][1]
    assert (item.image, item.label, item.case, item.slice_index) == (
        folder / "images/training1.png",
        folder / "labels/training1.png",
        "training1",
        None,
    )
    assert (datalist.num_classes, datalist.label_names, datalist.nested) == (2, ("disc", "cup"), True)
    assert datalist.sha256 == hashlib.sha256((folder / "datalist.json").read_bytes()).hexdigest()
    assert "label_map" not in datalist.document(item)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a/" * 2500 + "x.png", "/a" * 2500, "x" * 5000 + ".png"])
def test_names_and_paths_that_no_disk_takes_are_refused(make_site: MakeSite, name: str) -> None:
    document = {"labels": {"0": "background", "1": "lesion"}, "test": [{"image": name}]}
    folder = make_site()
    (folder / "datalist.json").write_text(json.dumps(document))
    _, problems = parse_datalist(folder)
    assert len(problems) == 1
    assert str(folder / "datalist.json") in str(problems[0])
    assert "bytes" in str(problems[0])
    assert len(str(problems[0])) < 600


def test_without_case_every_image_is_its_own(make_site: MakeSite) -> None:
    bare = [{"image": f"images/training{n}.png", "label": f"labels/training{n}.png"} for n in range(3)]
    items = load_datalist(make_site(**{"training": 3})).parts["training"]
    folder = make_site("bare")
    document = json.loads((folder / "datalist.json").read_text())
    document["training"] = bare
    (folder / "datalist.json").write_text(json.dumps(document))
    assert len({item.case for item in load_datalist(folder).parts["training"]}) == len(items) == 3


def test_binary_masks_of_0_and_255_need_no_map(make_site: MakeSite) -> None:
    one = load_datalist(make_site(labels={"0": "background", "1": "lesion"}))
    assert one.label_map == {255: 1}
    assert one.document(one.parts["test"][0])["label_map"] == {255: 1}
    assert load_datalist(make_site("two")).label_map == {}
    own = make_site("own", labels={"0": "background", "1": "lesion"}, label_map={"7": 1})
    assert load_datalist(own).label_map == {7: 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {"1": "disc"}}, "label values are"),
        ({"labels": {"background": 0}}, "labels"),
        ({"labels": None}, "labels"),
        ({"label_map": {"255": 9}}, "undeclared"),
        ({"nested": "yes"}, "nested"),
        ({"made_up": "yes"}, "made_up"),
        ({"channels": 17}, "channels"),
        ({"slices": "some"}, "slices"),
        ({"test": {}}, "not a list"),
        ({"test": [{"label": "x.png"}]}, "test item 0"),
        ({"test": ["/etc/passwd.png"]}, "leads out"),
        ({"test": ["../other/x.png"]}, "leads out"),
        ({"test": [{"image": "C:\\x.png"}]}, "leads out"),
        ({"test": ["x" * 300 + ".png"]}, "is not a name of a file"),
        ({"test": ["a\0b.png"]}, "is not a name of a file"),
        ({"test": ["a\nb.png"]}, "is not a name of a file"),
        ({"test": ["\ud800.png"]}, "is not a name of a file"),
        ({"training": [], "validation": [], "test": []}, "empty"),
        ({"test": [{"image": "images/training0.png", "case": "training0"}]}, "'training0' is in training and test"),
    ],
)
def test_what_is_refused_names_the_place(make_site: MakeSite, changes: dict[str, Any], said: str) -> None:
    folder = make_site(**{"training": 1})
    document = {**json.loads((folder / "datalist.json").read_text()), **changes}
    (folder / "datalist.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=said) as caught:
        load_datalist(folder)
    assert "site" in caught.value.where


def test_every_problem_is_collected(make_site: MakeSite) -> None:
    folder = make_site()
    document = json.loads((folder / "datalist.json").read_text())
    document["test"] += ["../a.png", {"image": "images/b.png", "case": "training0"}, 7]
    (folder / "datalist.json").write_text(json.dumps(document))
    datalist, problems = parse_datalist(folder)
    assert datalist is not None
    assert len(problems) == 3


def test_missing_and_damaged_datalists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"datalist\.json.*missing"):
        load_datalist(tmp_path)
    for content in ("{", "[]", "[" * 200_000 + "]" * 200_000):
        (tmp_path / "datalist.json").write_text(content)
        with pytest.raises(DataError, match="JSON"):
            load_datalist(tmp_path)


def test_volumes_become_slices(make_volume: Callable[..., Path]) -> None:
    labelled = load_datalist(make_volume())
    assert [item.slice_index for item in labelled.parts["training"]] == [1, 2]
    assert [item.slice_index for item in labelled.parts["test"]] == [0, 1, 2, 3]
    assert len({item.case for item in labelled.parts["test"]}) == 1
    everything = load_datalist(make_volume(slices="all"))
    assert [item.slice_index for item in everything.parts["training"]] == [0, 1, 2, 3]


def test_paths_from_windows_a_byte_order_mark_and_either_form_of_accents(make_site: MakeSite) -> None:
    folder = make_site(training=1, validation=0, test=0)
    (folder / "images/training0.png").rename(folder / "images/Bild u\u0308.png")
    document = {
        "labels": {"0": "background", "1": "disc", "2": "cup"},
        "training": [{"image": "images\\Bild \u00fc.png", "label": "labels\\training0.png"}],
    }
    for encoding in ("utf-8-sig", "utf-16", "utf-8"):
        (folder / "datalist.json").write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))
        item = load_datalist(folder).parts["training"][0]
        assert item.image.is_file()
        assert item.label == folder / "labels/training0.png"


def test_channels_by_name_come_in_the_order_of_the_names(make_site: MakeSite) -> None:
    folder = make_site(training=3, validation=0, test=0, channel_names=["T2", "adc", "T1"])
    document = json.loads((folder / "datalist.json").read_text())
    files = {name: f"images/training{number}.png" for number, name in enumerate(("T1", "T2", "adc"))}
    by_name, by_order = files, [files["T2"], files["adc"], files["T1"]]
    for entry in (by_name, by_order):
        document["training"] = [{"image": entry, "label": "labels/training0.png", "case": "a"}]
        (folder / "datalist.json").write_text(json.dumps(document))
        found = load_datalist(folder)
        assert found.channels == 3
        order = [path.name for path in found.parts["training"][0].channel_files]
        assert order == ["training2.png", "training0.png", "training1.png"]  # adc, T1, T2
    document["training"] = [{"image": {"T1": files["T1"], "T2": files["T2"]}, "label": "labels/training0.png"}]
    (folder / "datalist.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="training item 0 lacks adc"):
        load_datalist(folder)
    document["training"] = [{"image": files["T1"], "label": "labels/training0.png"}]
    (folder / "datalist.json").write_text(json.dumps(document))
    found = load_datalist(folder)
    assert found.document(found.parts["training"][0])["channel_order"] == (1, 2, 0)


@pytest.mark.parametrize("window", [[1], [5, 5], [9, 1], ["a", 2], 7, [True, False]])
def test_a_window_that_is_none_is_refused(make_site: MakeSite, window: object) -> None:
    with pytest.raises(DataError, match='"window" is'):
        load_datalist(make_site(window=window))


@pytest.mark.parametrize("entry", [[0, float("inf")], [float("-inf"), 1], [float("nan"), 1], [3, 3]])
def test_a_window_has_two_finite_ends(make_site: MakeSite, entry: list[float]) -> None:
    with pytest.raises(DataError, match='"window" is'):
        load_datalist(make_site(window=entry))


def test_a_key_that_stands_twice_is_refused_and_not_the_last_one_taken(make_site: MakeSite) -> None:
    folder = make_site()
    text = (folder / "datalist.json").read_text()
    (folder / "datalist.json").write_text('{"training": [], ' + text[1:])
    with pytest.raises(DataError, match="'training' stands twice"):
        load_datalist(folder)


def with_cases(folder: Path, *cases: Any) -> Path:
    """Give the training items these cases."""
    document = json.loads((folder / "datalist.json").read_text())
    for item, case in zip(document["training"], cases, strict=True):
        item["case"] = case
    (folder / "datalist.json").write_text(json.dumps(document))
    return folder


def test_no_case_is_no_common_case_and_blanks_at_its_ends_are_none_of_it(make_site: MakeSite) -> None:
    found = load_datalist(with_cases(make_site(), None, "", " p 7 ")).parts["training"]
    assert [item.case for item in found] == ["images/training0.png", "images/training1.png", "p 7"]


def test_one_patient_with_and_without_a_blank_stands_in_two_parts(make_site: MakeSite) -> None:
    with pytest.raises(DataError, match="case 'validation0' is in training and validation"):
        load_datalist(with_cases(make_site(), "a", "b", "validation0 "))


@pytest.mark.parametrize("case", [["a"], 1.5, True, {"id": 3}])
def test_a_case_is_text_or_a_whole_number(make_site: MakeSite, case: Any) -> None:
    with pytest.raises(DataError, match="training item 2 has the case"):
        load_datalist(with_cases(make_site(), "a", 4, case))


@pytest.mark.parametrize("key", ["patient", "patient_id", "PatientID", "subject"])
def test_a_patient_under_another_key_is_not_passed_over(make_site: MakeSite, key: str) -> None:
    folder = make_site()
    document = json.loads((folder / "datalist.json").read_text())
    document["test"][0][key] = document["test"][0].pop("case")
    (folder / "datalist.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"test item 0 names its patient as '{key}'"):
        load_datalist(folder)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"0": "background", "1": "le\x1b[2Jsion"}, "has the name"),
        ({"0": "background", "1": "a\nb"}, "has the name"),
        ({"0": "background", "1": "\ud800"}, "has the name"),
        ({"0": "background", "1": "\u202enoisel"}, "has the name"),
        ({"0": "background", "1": ""}, "has the name"),
        ({"0": "background", "1": "x" * 41}, "has the name"),
        ({"0": "background", "1": "disc", "01": "cup"}, "has one value twice"),
    ],
)
def test_a_class_has_one_name_that_can_be_shown(make_site: MakeSite, labels: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load_datalist(make_site(labels=labels))
    assert str(caught.value).isprintable()


def test_the_site_s_own_name_is_shown_without_commands_to_the_console(make_site: MakeSite) -> None:
    assert load_datalist(make_site(name="st\x1b[2J anna\n")).name == "st?[2J anna "
