# SPDX-License-Identifier: Apache-2.0
"""The datalist's mask entry is data with a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.masks.rule import MaskRule, parse_rule
from dsfedmed.errors import DataError


@pytest.mark.parametrize(
    "rule",
    [
        MaskRule(),
        MaskRule(kind="threshold", above=0.25, ignore=9),
        MaskRule(kind="colours", colours=(((0, 0, 0), 0), ((255, 1, 2), 1)), nearest=True),
        MaskRule(kind="one_hot", background=False),
        MaskRule(kind="instances", geometry="grid"),
        MaskRule(files="classes"),
    ],
)
def test_a_rule_survives_the_datalist(rule: MaskRule) -> None:
    assert parse_rule(Path("d"), rule.to_dict(), 1) == rule


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ([], "not an object"),
        ({"kind": "magic"}, "kind 'magic'"),
        ({"kinds": "values"}, "unknown key 'kinds'"),
        ({"kind": "threshold", "above": "x"}, "'x'"),
        ({"kind": "threshold", "above": float("nan")}, "nan"),
        ({"kind": "colours"}, "lists no colours"),
        ({"kind": "colours", "colours": {"red": 1}}, "'red': 1"),
        ({"kind": "colours", "colours": {"#ff0000": 7}}, "'#ff0000': 7"),
        ({"ignore": 0}, '"ignore" is 0'),
        ({"ignore": 1}, "which is a label"),
        ({"ignore": True}, '"ignore" is True'),
        ({"geometry": "sideways"}, "sideways"),
        ({"files": "first"}, "first"),
        ({"background": 1}, '"background" is 1'),
    ],
    ids=str,
)
def test_what_is_not_understood_is_named(entry: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_rule(Path("datalist.json"), entry, 1)
    assert words in caught.value.reason
    assert caught.value.fix


def test_kinds_of_one_class_need_one_class() -> None:
    with pytest.raises(DataError, match="2 are declared"):
        parse_rule(Path("d"), {"kind": "instances"}, 2)
    with pytest.raises(DataError, match="union of files"):
        parse_rule(Path("d"), {"files": "union"}, 2)
