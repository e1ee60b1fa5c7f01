# SPDX-License-Identifier: Apache-2.0
"""Parts of a configuration: each is built once, and what a part raises is said in one line."""

from __future__ import annotations

import pytest

from dsfedmed.bundles.components import Components, innermost
from dsfedmed.errors import ConfigError

COMPOSE = "monai.transforms.Compose"


def test_two_parts_share_the_third_that_they_refer_to() -> None:
    resize = {"_target_": "monai.transforms.Resized", "keys": "image", "spatial_size": [4, 4]}
    document = {
        "resize": resize,
        "one": {"_target_": COMPOSE, "transforms": ["@resize"]},
        "two": {"_target_": COMPOSE, "transforms": ["@resize"]},
    }
    parts = Components(document, "x.json")
    assert parts.build("one").transforms[0] is parts.build("two").transforms[0]
    assert Components(document, "x.json").build("one").transforms[0] is not parts.build("one").transforms[0]
    assert document["one"] == {"_target_": COMPOSE, "transforms": ["@resize"]}


def test_what_a_part_raises_names_the_file() -> None:
    wrong = {"part": {"_target_": "monai.transforms.Resized", "keys": "image", "size_mode": "no"}}
    with pytest.raises(ConfigError, match=r"x\.json: 'part' cannot be built \("):
        Components(wrong, "x.json").build("part")


def test_what_this_package_raises_comes_out_as_it_is() -> None:
    wrong = {"part": {"_target_": "dsfedmed.data.LoadSiteImaged", "keys": "image", "channels": 99}}
    with pytest.raises(ConfigError, match=r"^LoadSiteImaged: channels is 99"):
        Components(wrong, "x.json").build("part")


def test_the_innermost_cause() -> None:
    first, second = ValueError("first"), RuntimeError("second")
    second.__cause__ = first
    assert innermost(second) is first
    assert innermost(first) is first
