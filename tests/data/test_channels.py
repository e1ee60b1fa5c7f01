# SPDX-License-Identifier: Apache-2.0
"""Channels by name: their order at every site, what sites must agree on, and files of another number of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfedmed.data.channels import channel_labels, channel_order, names_problem, require_channels, sorted_names
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.facts import SiteFacts, agreement, merge_facts, site_facts
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import DataError, PayloadError
from tests.data.conftest import MakeSite

NAMES = ["T2", "flair", "T1", "ADC"]


def make_npy_site(make_site: MakeSite, name: str, names: list[str], **changes: Any) -> Path:
    """Make a site of one training image (4, 6, C) uint8 whose channel k holds 10 times the length-coded name."""
    folder = make_site(name, 1, 0, 0, channels=len(names), channel_names=names, **changes)
    value = {"T2": 20, "flair": 50, "T1": 10, "ADC": 40}
    planes = [np.full((12, 16), value.get(entry, 90), np.uint8) for entry in names]
    for number, plane in enumerate(planes):
        plane[0, 0] = number
    np.save(folder / "images/training0.npy", np.stack(planes, axis=-1))
    file = folder / "datalist.json"
    document = json.loads(file.read_text())
    document["training"][0]["image"] = "images/training0.npy"
    file.write_text(json.dumps(document))
    return folder


def test_the_order_is_that_of_the_names_whatever_the_files_have(make_site: MakeSite) -> None:
    assert channel_order(NAMES) == (3, 1, 2, 0)
    assert sorted_names(NAMES) == ("ADC", "flair", "T1", "T2")
    for number, names in enumerate((NAMES, sorted(NAMES), NAMES[::-1])):
        datalist = load_datalist(make_npy_site(make_site, f"site{number}", names))
        assert datalist.channel_names == tuple(names)
        assert datalist.sorted_channel_names == ("ADC", "flair", "T1", "T2")
        image = LoadSiteImaged(channels=4)(datalist.document(datalist.parts["training"][0]))["image"]
        assert image.shape == (4, 16, 12)
        assert (image[:, 1, 1] * 255).round().tolist() == [40, 50, 10, 20]
        assert (image[:, 0, 0] * 255).round().tolist() == list(channel_order(names))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 0}, '"channels" is 0'),
        ({"channels": True}, '"channels" is True'),
        ({"channels": "4"}, "\"channels\" is '4'"),
        ({"channels": 2, "channel_names": ["T1"]}, "1 names do not fit 2 channels"),
        ({"channels": 2, "channel_names": ["T1", "t1"]}, "stands twice"),
        ({"channels": 2, "channel_names": ["T1", " "]}, "empty"),
        ({"channels": 2, "channel_names": ["T1", "x" * 41]}, "longer than 40"),
        ({"channels": 2, "channel_names": ["T1", "$@x"]}, "has one of"),
        ({"channels": 2, "channel_names": "T1"}, "channel_names"),
    ],
)
def test_channels_that_cannot_be_are_refused(make_site: MakeSite, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said.replace("$", r"\$")) as caught:
        load_datalist(make_site(training=1, **changes))
    assert caught.value.where.endswith("datalist.json")


def test_names_of_sixteen_channels_are_fine_and_labels_follow() -> None:
    assert names_problem([f"stain {k}" for k in range(16)], 16) == names_problem([], 4) == ""
    assert channel_labels(4, ("ADC", "FLAIR", "T1", "T2")) == ("ADC", "FLAIR", "T1", "T2")
    assert channel_labels(1) == ("image",)
    assert channel_labels(3) == ("red", "green", "blue")
    assert channel_labels(2) == ("channel 1", "channel 2")


def test_facts_hold_the_sorted_names_and_come_back(make_site: MakeSite) -> None:
    facts = site_facts(load_datalist(make_npy_site(make_site, "a", NAMES)))
    assert (facts.channels, facts.channel_names) == (4, ("ADC", "flair", "T1", "T2"))
    document = json.loads(json.dumps(facts.to_dict()))
    assert SiteFacts.from_dict(document) == facts
    for wrong in (["T1"], ["T2", "T1", "flair", "ADC"], ["T1", "T1", "a", "b"]):
        with pytest.raises(PayloadError):
            SiteFacts.from_dict({**document, "channel_names": wrong})


def test_a_site_that_lacks_a_sequence_or_has_another_is_told_which(make_site: MakeSite) -> None:
    facts = site_facts(load_datalist(make_npy_site(make_site, "a", NAMES)))

    def said(**changes: Any) -> str:
        odd = dataclasses.replace(facts, **changes)
        misfits = agreement({"a": facts, "b": facts, "odd": odd})[1]
        assert list(misfits) == ["odd"]
        with pytest.raises(DataError) as caught:
            merge_facts({"a": facts, "b": facts, "odd": odd})
        assert caught.value.where == "odd"
        return misfits["odd"].reason

    assert said(channels=3, channel_names=("ADC", "flair", "T1")) == "it lacks T2, which the others have"
    assert said(channels=5, channel_names=("ADC", "DWI", "flair", "T1", "T2")) == "it has DWI, which the others lack"
    assert said(channel_names=("ADC", "DWI", "flair", "T1")) == (
        "it lacks T2, which the others have; it has DWI, which the others lack"
    )
    assert said(channel_names=()) == "it does not name its channels, which the others do"
    assert said(channel_names=("ADC", "FLAIR", "T1", "T2")) == (
        "it writes ADC, FLAIR, T1, T2 where the others write ADC, flair, T1, T2"
    )
    assert said(channels=3, channel_names=facts.channel_names) == "its channels is 3 where the others have 4"


def test_a_file_of_another_number_of_channels_is_named_with_both(make_site: MakeSite, tmp_path: Path) -> None:
    np.save(tmp_path / "five.npy", np.zeros((4, 6, 5), np.uint8))
    with pytest.raises(DataError, match=r"five\.npy: it has 5 channels and 4 are expected"):
        LoadSiteImaged("image", channels=4)({"image": tmp_path / "five.npy"})
    np.save(tmp_path / "grey.npy", np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match=r"grey\.npy: it has 1 channel and 4 are expected"):
        LoadSiteImaged("image", channels=4)({"image": tmp_path / "grey.npy"})
    for found, wanted in ((1, 3), (3, 1), (3, 3), (16, 16)):
        require_channels(tmp_path, found, wanted)
    folder = make_npy_site(make_site, "a", NAMES)
    np.save(folder / "images/training0.npy", np.zeros((12, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"training0\.npy: it has 3 channels and 4 are expected"):
        site_facts(load_datalist(folder))


def test_each_channel_beyond_colour_has_its_own_window(tmp_path: Path) -> None:
    """CT in thousands and PET in tenths: both fill the range, and neither disappears beside the other."""
    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    np.save(tmp_path / "ct_pet.npy", np.stack([2000 * ramp - 1000, 0.1 * ramp], axis=-1))
    image = np.asarray(LoadSiteImaged("image", channels=2)({"image": tmp_path / "ct_pet.npy"})["image"])
    assert np.allclose(image[0], image[1], atol=1e-5)
    assert (image.min(), image.max()) == (0.0, 1.0)
    assert abs(image[0].T[10, 10] - (ramp[10, 10] - 0.005) / 0.99) < 1e-3
