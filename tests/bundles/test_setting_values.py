# SPDX-License-Identifier: Apache-2.0
"""One value against its declared type: it comes back as data, or is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given

from dsfedmed.bundles.settings import DeclaredSetting, check_settings
from dsfedmed.errors import ConfigError
from tests.bundles.hostile import CALL
from tests.bundles.sent import JSON, is_of


def setting(kind: Any, **limits: Any) -> dict[str, DeclaredSetting]:
    return {"x": DeclaredSetting("x", kind, ("x",), "an x.", **limits)}


RATE = setting("number", minimum=0.0, maximum=1.0)
COUNT = setting("integer", minimum=1, maximum=9)
GREY = setting("integer", choices=(1, 3))
LOSS = setting("string", choices=("bce", "dice"), blocks="losses")
SIZE = setting("integers", minimum=1, maximum=64, min_items=2, max_items=2)
RATES = setting("numbers", minimum=0.0, maximum=1.0, max_items=2)
LAYERS = setting("strings", choices=("qkv", "proj"), max_items=2)
SWITCH = setting("boolean")
NAMES = setting("label_names", max_items=3)


@pytest.mark.parametrize(
    ("declared", "value", "found"),
    [
        (RATE, 0.5, 0.5), (RATE, 1, 1.0), (COUNT, 9, 9), (GREY, 3, 3), (LOSS, "bce", "bce"), (SIZE, (3, 4), [3, 4]),
        (RATES, [1], [1.0]), (LAYERS, ["qkv"], ["qkv"]), (SWITCH, False, False),
        (NAMES, {"0": "background", "1": "Läsion (T2) 3+, L-R's"}, {"0": "background", "1": "Läsion (T2) 3+, L-R's"}),
    ],
)  # fmt: skip
def test_a_value_comes_back_in_its_declared_type(declared: Any, value: Any, found: Any) -> None:
    result = check_settings(declared, {"x": value}, "test")["x"]
    assert result == found
    assert type(result) is type(found)


@pytest.mark.parametrize(
    ("declared", "value", "reason"),
    [
        (RATE, True, "True is not a number"), (RATE, "0.5", "'0.5' is not a number"),
        (RATE, 1.1, "lies outside 0 to 1"),
        (RATE, float("nan"), "nan lies outside"), (RATE, float("inf"), "inf lies outside"),
        (RATE, 10**400, "outside"),
        (RATE, None, "None is not a number"), (COUNT, 2.0, "2.0 is not a whole number"),
        (COUNT, False, "whole number"),
        (COUNT, 0, "0 lies outside 1 to 9"), (GREY, 2, "2 is none of 1, 3"),
        (LOSS, "focal", "'focal' is none of bce, dice"), (LOSS, "@losses::bce", "is none of"),
        (LOSS, ["bce"], "none of"),
        (LOSS, {"_target_": "os.system"}, "none of"), (LOSS, 3, "none of"),
        (SIZE, [3], "1 items, allowed are 2 to 2"),
        (SIZE, "34", "'34' is not a list"), (SIZE, [3, [4]], "not a whole number"),
        (SIZE, {"0": 3, "1": 4}, "is not a list"),
        (RATES, [], "0 items"), (RATES, [0.1] * 3, "3 items"), (LAYERS, ["lin"], "'lin' is none of qkv, proj"),
        (SWITCH, 1, "1 is not true or false"), (SWITCH, "false", "not true or false"),
        (NAMES, ["a"], "is not a mapping"),
        (NAMES, {}, "0 names"), (NAMES, {str(k): "a" for k in range(4)}, "4 names"),
        (NAMES, {"a": "b"}, "not a label value"),
        (NAMES, {0: "b"}, "not a label value"), (NAMES, {"_target_": "b"}, "not a label value"),
        (NAMES, {"0": 3}, "label name"),
        *((NAMES, {"1": name}, "the label name") for name in (
            "", "a" * 65, "$x", "@x", "%x", "a/b", "a::b", "a.b", "_target_", "a _mode_ b", "a\n", " a", "#a", "a\\b",
            f"${CALL}",
        )),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_reason(declared: Any, value: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"the server: setting 'x': .*{reason}") as caught:
        check_settings(declared, {"x": value}, "the server")
    assert caught.value.fix == "'x' is: an x."
    assert len(str(caught.value)) < 300


def test_a_number_too_long_to_be_written_is_refused() -> None:
    for values in ({"x": 10**5000}, {10**5000: 1}, 10**5000):
        with pytest.raises(ConfigError, match="int of great length"):
            check_settings(COUNT, values, "the server")  # type: ignore[arg-type]


KINDS = ("number", "integer", "boolean", "string", "numbers", "integers", "strings", "label_names")


@pytest.mark.parametrize("kind", KINDS)
@given(value=JSON)
@example(value={"_target_": "os.system"})
def test_every_kind_takes_its_data_alone(kind: Any, value: Any) -> None:
    limits = {"choices": ("bce", "loss")} if kind.startswith("string") else {"minimum": 0, "maximum": 64}
    declared = setting(kind, **limits, max_items=4)
    try:
        found = check_settings(declared, {"x": value}, "the server")
    except ConfigError:
        return
    assert is_of(declared["x"], found["x"])
