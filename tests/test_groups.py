# SPDX-License-Identifier: Apache-2.0
"""Two processes share the suite: files stay whole, what looks at one run stays together, long groups begin."""

from __future__ import annotations

from typing import Any

import pytest

from tests.groups import FIRST, FIXTURES, MARKS, grouped


class Item:
    """A test as pytest collects it."""

    def __init__(self, nodeid: str, *fixturenames: str, mark: str = "") -> None:
        self.nodeid, self.fixturenames, self.mark = nodeid, fixturenames, mark
        self.group = ""

    def get_closest_marker(self, name: str) -> bool:
        return name == self.mark

    def add_marker(self, mark: Any) -> None:
        (self.group,) = mark.args


def places(*items: Item) -> list[tuple[str, str]]:
    found: Any = grouped(items)  # type: ignore[arg-type]
    return [(item.nodeid, item.group) for item in found]


def test_a_file_is_a_group_of_its_own_and_keeps_its_order() -> None:
    found = places(Item("a.py::one", "tmp_path"), Item("b.py::one"), Item("a.py::two[x::y]"))
    assert found == [("a.py::one", "a.py"), ("b.py::one", "b.py"), ("a.py::two[x::y]", "a.py")]


def test_files_that_look_at_one_run_are_one_group_as_a_whole_and_begin() -> None:
    found = places(
        Item("a.py::quick"),
        Item("b.py::quick"),
        Item("b.py::looks", "in_process"),
        Item("c.py::looks", "in_process", "over_nvflare"),
    )
    assert [group for _, group in found] == ["whole_runs"] * 3 + ["a.py"]
    assert [test for test, _ in found] == ["b.py::quick", "b.py::looks", "c.py::looks", "a.py::quick"]


def test_real_processes_are_one_group_whatever_fixtures_a_file_has() -> None:
    found = places(Item("a.py::one", "finished"), Item("a.py::two", mark="federation"), Item("b.py::one", "in_process"))
    assert {group for _, group in found} == {"whole_runs"}


def test_every_group_has_its_place() -> None:
    assert {*FIXTURES.values(), *MARKS.values()} == set(FIRST)


def test_every_fixture_that_groups_is_there(request: pytest.FixtureRequest) -> None:
    """The conftest files name it; one that is renamed there would group nothing."""
    root = request.config.rootpath / "tests"
    text = "".join(path.read_text(encoding="utf-8") for path in root.rglob("conftest.py"))
    for name in FIXTURES:
        assert f'scope="session")\ndef {name}(' in text or f'scope="module")\ndef {name}(' in text, name
