# SPDX-License-Identifier: Apache-2.0
"""What differs between two configurations is named with the old and the new value."""

from __future__ import annotations

from typing import Any

from dsfedmed.store.differences import MOST, differences

RUN: dict[str, Any] = {
    "method": "dsfedmed",
    "settings": {"seed": 0, "rounds": 1, "unseen": ["d"], "light": {"autocast": True, "bundle": "unet"}, "preset": ""},
    "sites": ["a", "b"],
}


def changed(**settings: Any) -> dict[str, Any]:
    return {**RUN, "settings": {**RUN["settings"], **settings}}


def test_equal_ones_differ_in_nothing() -> None:
    assert differences(RUN, changed(unseen=("d",))) == ""


def test_each_difference_has_its_old_and_its_new_value() -> None:
    assert differences(RUN, changed(seed=5, rounds=3)) == "rounds: 1, now 3; seed: 0, now 5"
    assert differences(RUN, {**RUN, "sites": ["a", "b", "c"]}) == "sites: a, b, now a, b, c"
    assert differences(RUN, {**RUN, "method": "samfed"}) == "method: dsfedmed, now samfed"
    assert differences(RUN, changed(unseen=[])) == "unseen: d, now none"
    nested = changed(light={"autocast": False, "bundle": "unet", "clip": 1.5})
    assert differences(RUN, nested) == "light.autocast: true, now false; light.clip: not set, now 1.5"
    assert differences(RUN, changed(preset="demo")) == 'preset: "", now demo'


def test_many_differences_are_counted() -> None:
    found = differences({}, {f"s{n}": n for n in range(MOST + 3)})
    assert found.startswith("s0: not set, now 0; ")
    assert found.endswith("; and 3 more")
