# SPDX-License-Identifier: Apache-2.0
"""Site facts tell the task apart and nobody's name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.facts import SiteFacts, merge_facts, site_facts
from dsfedmed.errors import DataError, PayloadError
from tests.data.conftest import MakeSite, write_image


def test_facts_by_hand(make_site: MakeSite) -> None:
    folder = make_site()
    write_image(folder / "images/test0.png", np.zeros((20, 10, 3), np.uint8))
    facts = site_facts(load_datalist(folder))
    assert (facts.channels, facts.num_classes, facts.label_names) == (3, 2, ("disc", "cup"))
    assert facts.label_values == (0, 1, 2)
    assert facts.counts == {"training": 3, "validation": 2, "test": 2}
    assert (facts.size_min, facts.size_max) == ((10, 12), (16, 20))
    assert facts.suffixes == (".png",)
    assert set(facts.versions) == {"dsfedmed", "python", "torch", "monai", "nvflare", "diffusers", "peft"}


@pytest.mark.parametrize("made_up", [True, False])
def test_only_the_datalist_says_that_images_are_made_up(make_site: MakeSite, made_up: bool) -> None:
    facts = site_facts(load_datalist(make_site("marked", made_up=made_up)))
    assert facts.made_up is made_up
    assert SiteFacts.from_dict(json.loads(json.dumps(facts.to_dict()))).made_up is made_up
    assert site_facts(load_datalist(make_site("as any hospital's"))).made_up is False


def test_the_wire_form_comes_back_and_holds_no_names(make_site: MakeSite, tmp_path: Path) -> None:
    facts = site_facts(load_datalist(make_site()))
    text = json.dumps(facts.to_dict())
    assert SiteFacts.from_dict(json.loads(text)) == facts
    assert "training0" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("change", [{"channels": 17}, {"num_classes": 5}, {"counts": {"training": -1}}, {"more": 1}])
def test_impossible_facts_are_refused(make_site: MakeSite, change: dict[str, object]) -> None:
    document = {**site_facts(load_datalist(make_site())).to_dict(), **change}
    with pytest.raises(PayloadError):
        SiteFacts.from_dict(document)


def test_volumes_and_declared_channels(make_volume: Callable[..., Path]) -> None:
    facts = site_facts(load_datalist(make_volume(channels=3)))
    assert facts.channels == 3
    assert facts.counts["test"] == 4
    assert (facts.size_min, facts.suffixes, facts.label_values) == ((7, 5), (".nii.gz",), (0, 1))


def test_merging_names_the_odd_site(make_site: MakeSite) -> None:
    facts = site_facts(load_datalist(make_site()))
    merged = merge_facts({"a": facts, "b": facts})
    assert (merged.channels, merged.num_classes, merged.label_names) == (1, 2, ("disc", "cup"))
    odd = dataclasses.replace(facts, label_names=("cup", "disc"))
    with pytest.raises(DataError, match="label_names") as caught:
        merge_facts({"odd": odd, "b": facts, "c": facts})
    assert caught.value.where == "odd"
    with pytest.raises(DataError, match="no site"):
        merge_facts({})
