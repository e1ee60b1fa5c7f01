# SPDX-License-Identifier: Apache-2.0
"""Typed bodies to JSON and back by hand: what fits is built, anything else is refused with sender and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.wire.codec import DEEPEST, SAME_VERSION, from_json, to_json, to_object
from dsfedmed.ranges import Between, Length, Matches


@dataclass(frozen=True)
class Inner:
    size: Annotated[int, Between(1, 8)]
    note: str = "none"


@dataclass(frozen=True)
class Outer:
    """A field of every kind."""

    number: Annotated[int, Between(0, 100)]
    share: Annotated[float, Between(0, 1)]
    name: Annotated[str, Matches("[a-z]+")]
    kind: Literal["light", "teacher", 3]
    flag: bool
    inner: Inner
    many: Annotated[tuple[Inner, ...], Length(2)] = ()
    pair: tuple[int, str] = (0, "")
    by_name: dict[Annotated[str, Matches("[a-z]+")], Annotated[int, Between(0, 9)]] = field(default_factory=dict)
    perhaps: Annotated[float, Between(0, 1)] | None = None
    either: int | tuple[int, ...] | dict[str, str] = 0
    listed: list[int] = field(default_factory=list)
    hidden: int = field(default=7, init=False)


GOOD: dict[str, Any] = {
    "number": 3, "share": 0.5, "name": "abc", "kind": "light", "flag": True, "inner": {"size": 2},
}  # fmt: skip
BUILT = Outer(3, 0.5, "abc", "light", True, Inner(2))


def read(**changes: Any) -> Outer:
    return from_json(Outer, {**GOOD, **changes}, "site_a")


def refusal(content: Any, kind: type[Any] = Outer) -> str:
    with pytest.raises(PayloadError) as caught:
        from_json(kind, content, "site_a")
    assert caught.value.where == "site_a"
    assert caught.value.fix == SAME_VERSION
    return caught.value.reason


def test_what_was_left_out_has_its_default() -> None:
    assert read() == BUILT
    assert read(inner={"size": 2, "note": "x"}).inner.note == "x"


def test_every_field_comes_back_as_it_was_sent() -> None:
    sent = Outer(
        3, 0.5, "abc", 3, False, Inner(8, "é"), (Inner(1), Inner(2)), (5, "x"), {"a": 9}, 0.25, {"k": "v"}, [1, 2]
    )  # type: ignore[arg-type]
    assert from_json(Outer, json.loads(json.dumps(to_json(sent))), "site_a") == sent


def test_a_field_that_is_not_set_does_not_travel() -> None:
    assert "hidden" not in to_object(BUILT)
    assert refusal({**GOOD, "hidden": 1}) == "sent Outer with the unknown key 'hidden'"


def test_an_unknown_key_is_refused_by_its_name() -> None:
    assert refusal({**GOOD, "paths": []}) == "sent Outer with the unknown key 'paths'"
    assert refusal({**GOOD, "inner": {"size": 2, "x": 1}}) == "sent Outer.inner with the unknown key 'x'"
    assert refusal({**GOOD, 1: 1}) == "sent Outer with the unknown key 1"


@pytest.mark.parametrize("key", list(GOOD))
def test_a_missing_key_is_refused_by_its_name(key: str) -> None:
    content = {name: value for name, value in GOOD.items() if name != key}
    assert refusal(content) == f"sent Outer without its key '{key}'"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": "3"}, "Outer.number = '3', which is no int"),
        ({"number": 3.0}, "Outer.number = 3.0, which is no int"),
        ({"number": True}, "Outer.number = True, which is no int"),
        ({"number": None}, "Outer.number = None, which is no int"),
        ({"share": "0.5"}, "Outer.share = '0.5', which is no float"),
        ({"share": True}, "Outer.share = True, which is no float"),
        ({"share": [0.5]}, "Outer.share = [0.5], which is no float"),
        ({"name": 3}, "Outer.name = 3, which is no str"),
        ({"name": ["abc"]}, "Outer.name = ['abc'], which is no str"),
        ({"flag": 1}, "Outer.flag = 1, which is no bool"),
        ({"flag": "true"}, "Outer.flag = 'true', which is no bool"),
        ({"kind": "other"}, "Outer.kind = 'other', which is none of light, teacher, 3"),
        ({"kind": 3.0}, "Outer.kind = 3.0, which is none of light, teacher, 3"),
        ({"kind": ["light"]}, "Outer.kind = ['light'], which is none of light, teacher, 3"),
        ({"inner": 3}, "Outer.inner, which is 3 and no mapping of known depth"),
        ({"inner": [2]}, "Outer.inner, which is [2] and no mapping of known depth"),
        ({"inner": None}, "Outer.inner, which is None and no mapping of known depth"),
        ({"many": {"size": 1}}, "Outer.many = {'size': 1}, which is not a list"),
        ({"many": "abc"}, "Outer.many = 'abc', which is not a list"),
        ({"many": [1]}, "Outer.many, which is 1 and no mapping of known depth"),
        ({"pair": [1]}, "Outer.pair with 1 entries instead of 2"),
        ({"pair": [1, "a", 2]}, "Outer.pair with 3 entries instead of 2"),
        ({"pair": ["a", 1]}, "Outer.pair = 'a', which is no int"),
        ({"by_name": [1]}, "Outer.by_name = [1], which is not a mapping"),
        ({"by_name": {"a": "1"}}, "Outer.by_name['a'] = '1', which is no int"),
        ({"by_name": {"A": 1}}, "Outer.by_name's key: 'A' is not of the form [a-z]+"),
        ({"by_name": {1: 1}}, "Outer.by_name's key = 1, which is no str"),
        ({"perhaps": "no"}, "Outer.perhaps = 'no', which is no float"),
        ({"either": 0.5}, "Outer.either = 0.5, which is not a mapping"),
        ({"either": [0.5]}, "Outer.either = [0.5], which is not a mapping"),
        ({"listed": [1, None]}, "Outer.listed = None, which is no int"),
    ],
)
def test_a_value_of_another_type_is_refused(changes: dict[str, Any], reason: str) -> None:
    """A whole number may stand where a float is due, and nothing else for another type."""
    assert refusal({**GOOD, **changes}) == f"sent {reason}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": 101}, "Outer.number: 101 is not between 0 and 100"),
        ({"number": -1}, "Outer.number: -1 is not between 0 and 100"),
        ({"share": 1.5}, "Outer.share: 1.5 is not between 0 and 1"),
        ({"share": float("nan")}, "Outer.share: nan is not between 0 and 1"),
        ({"share": float("inf")}, "Outer.share: inf is not between 0 and 1"),
        ({"perhaps": 2}, "Outer.perhaps: 2.0 is not between 0 and 1"),
        ({"name": ""}, "Outer.name: '' is not of the form [a-z]+"),
        ({"name": "abc\n"}, "Outer.name: 'abc\\n' is not of the form [a-z]+"),
        ({"name": "../abc"}, "Outer.name: '../abc' is not of the form [a-z]+"),
        ({"inner": {"size": 9}}, "Outer.inner.size: 9 is not between 1 and 8"),
        ({"many": [{"size": 1}, {"size": 0}]}, "Outer.many.size: 0 is not between 1 and 8"),
        ({"many": [{"size": 1}] * 3}, "Outer.many: 3 entries are more than 2"),
        ({"by_name": {"a": 10}}, "Outer.by_name['a']: 10 is not between 0 and 9"),
    ],
)
def test_a_value_out_of_its_range_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refusal({**GOOD, **changes}) == f"sent {reason}"


@pytest.mark.parametrize("changes", [{"number": 0}, {"number": 100}, {"share": 0}, {"share": 1}, {"perhaps": None}])
def test_the_ends_of_a_range_belong_to_it(changes: dict[str, Any]) -> None:
    """A float field takes a whole number and holds it as a float."""
    found = read(**changes)
    assert type(found.share) is float
    assert {key: getattr(found, key) for key in changes} == changes


@dataclass(frozen=True)
class Unranged:
    number: int = 0
    real: float = 0.0
    text: str = ""
    names: dict[str, int] = field(default_factory=dict)


def test_a_field_without_a_range_has_that_of_its_type() -> None:
    assert from_json(Unranged, {"number": 2**53, "real": -1e30, "text": "x" * 4000}, "s").number == 2**53
    assert "is not between" in refusal({"number": 2**53 + 1}, Unranged)
    assert "is not between" in refusal({"real": float("nan")}, Unranged)
    assert "is not between" in refusal({"real": 1e31}, Unranged)
    assert "4001 entries are more than 4000" in refusal({"text": "x" * 4001}, Unranged)
    assert "10001 entries are more than 10000" in refusal({"names": {f"k{n}": n for n in range(10_001)}}, Unranged)


def test_of_a_union_the_first_that_fits_is_taken() -> None:
    assert read(either=3).either == 3
    assert read(either=[1, 2]).either == (1, 2)
    assert read(either={"a": "b"}).either == {"a": "b"}
    assert read(perhaps=1).perhaps == 1.0


@dataclass(frozen=True)
class Settings:
    """The order matters: a bool is no int, and a whole number no float."""

    value: bool | int | float | str | tuple[int, ...] | tuple[float, ...] = 0


@pytest.mark.parametrize("value", [True, 3, 2.5, "x"])
def test_a_union_of_plain_types_keeps_the_type(value: Any) -> None:
    found = from_json(Settings, {"value": value}, "s").value
    assert (found, type(found)) == (value, type(value))


def test_a_union_of_lists_takes_the_whole_list_or_not() -> None:
    assert from_json(Settings, {"value": [1, 2]}, "s").value == (1, 2)
    assert from_json(Settings, {"value": [1, 2.5]}, "s").value == (1.0, 2.5)
    assert "which is no float" in refusal({"value": [1, "2"]}, Settings)


@dataclass(frozen=True)
class Own:
    """A class with rules of its own over several fields."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ConfigError("own.least", "it is above own.most", "Give a smaller one")


@dataclass(frozen=True)
class Plain:
    """One that raises what a library would."""

    text: str

    def __post_init__(self) -> None:
        int(self.text)


@dataclass(frozen=True)
class Listed:
    """One that is built by ``from_dict``."""

    name: str
    inner: Inner

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Listed:
        if document["name"] == "forbidden":
            raise PayloadError("list", "it is forbidden", "Send another")
        return cls(document["name"].upper(), Inner(**document["inner"]))


def test_rules_over_several_fields_name_the_sender_as_well() -> None:
    assert from_json(Own, {"least": 1, "most": 2}, "site_a") == Own(1, 2)
    with pytest.raises(PayloadError) as caught:
        from_json(Own, {"least": 3, "most": 2}, "site_a")
    assert str(caught.value) == "site_a: sent Own in which own.least: it is above own.most. Give a smaller one"
    assert refusal({"text": "x"}, Plain).startswith("sent Plain that makes no sense (invalid literal for int()")


def test_a_class_that_reads_itself_gets_what_was_checked() -> None:
    content = {"name": "a", "inner": {"size": 2}}
    assert from_json(Listed, content, "s") == Listed("A", Inner(2))
    assert "Listed.inner.size: 9 is not between 1 and 8" in refusal({"name": "a", "inner": {"size": 9}}, Listed)
    with pytest.raises(PayloadError, match=r"site_a: sent Listed in which list: it is forbidden\. Send another"):
        from_json(Listed, {"name": "forbidden", "inner": {"size": 2}}, "site_a")


@dataclass(frozen=True)
class Tree:
    below: Tree | None = None
    lists: tuple[tuple[int, ...], ...] = ()


def nested(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(depth):
        content = {"below": content}
    return content


def test_what_is_nested_without_end_is_refused() -> None:
    expected = Tree()
    for _ in range(DEEPEST):
        expected = Tree(expected)
    assert from_json(Tree, nested(DEEPEST), "s") == expected
    assert "no mapping of known depth" in refusal(nested(DEEPEST + 1), Tree)
    for depth in (900, 100_000):
        assert refusal(nested(depth), Tree).startswith("sent Tree")
    assert from_json(Tree, {"lists": [[1], [2, 3]]}, "s").lists == ((1,), (2, 3))


@pytest.mark.parametrize("content", [None, 3, "body", [], [GOOD], True])
def test_what_is_no_mapping_at_all_is_refused(content: Any) -> None:
    assert refusal(content).endswith("and no mapping of known depth")


def test_a_long_value_is_shortened_in_the_reason() -> None:
    assert len(refusal({**GOOD, "name": "X" * 100_000})) < 150
    assert len(refusal({**GOOD, "y" * 100_000: 1})) < 150
    assert len(refusal({**GOOD, "inner": list(range(100_000))})) < 150


@pytest.mark.parametrize("value", [torch.ones(1), {1, 2}, b"x", object(), {"a": object()}])
def test_only_plain_values_cross_the_wire(value: object) -> None:
    with pytest.raises(TypeError, match="cannot cross the wire"):
        to_json(value)


def test_a_body_is_an_object() -> None:
    assert to_object(Inner(2)) == {"size": 2, "note": "none"}
    with pytest.raises(TypeError, match="tuple is not a dataclass"):
        to_object((1, 2))
    assert to_json((1, [2.5, None], {"a": True})) == [1, [2.5, None], {"a": True}]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
))  # fmt: skip
def test_any_json_is_built_or_refused_with_the_sender(content: Any) -> None:
    for kind in (Outer, Inner, Unranged, Settings, Own, Listed, Tree):
        senders = []
        try:
            from_json(kind, content, "site_a")
        except PayloadError as error:
            senders.append(error.where)
        assert senders in ([], ["site_a"])
