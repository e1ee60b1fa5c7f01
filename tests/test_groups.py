# SPDX-License-Identifier: Apache-2.0
"""Two processes share the suite: files stay whole, what looks at one run stays together, long groups begin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.groups import GROUPS, ROOT, Together, group_of, group_of_test, in_order

SHARED = {
    "over_nvflare": "whole_runs",
    "in_process": "whole_runs",
    "server": "label_server",
    "small_sites": "security",
    "finished": "finished_run",
}
"""Fixtures that are long in the making, and the group of the files that use them."""


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("def test_it(recording, dsfedmed_over_nvflare: Recording) -> None:", "whole_runs"),
        ("def test_it(\n    method: str, in_process: Callable[[str], Recording]\n) -> None:", "whole_runs"),
        ("pytestmark = pytest.mark.federation", "whole_runs"),
        ("def test_it(server: Server, small_sites: Path) -> None:", "label_server"),
        ("def test_it(small_sites: Path, finished: Finished) -> None:", "security"),
        ("def test_it(finished: Finished) -> None:", "finished_run"),
    ],
)
def test_a_file_is_of_the_first_group_whose_words_it_has(tmp_path: Path, text: str, group: str) -> None:
    (tmp_path / "test_it.py").write_text(text)
    assert group_of(tmp_path / "test_it.py") == group


def test_another_file_is_a_group_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("from tests.runs.local import run_in_process\nserver = 1")
    assert group_of(tmp_path / "test_it.py") == str(tmp_path / "test_it.py")


def test_every_test_that_uses_a_shared_run_is_in_its_group(request: pytest.FixtureRequest) -> None:
    """Of all tests of this session; with `make test`, of all there are."""
    for item in request.session.items:
        names = getattr(item, "fixturenames", ())
        wanted = {group for name, group in SHARED.items() if name in names}
        if item.get_closest_marker("federation"):
            wanted.add("whole_runs")
        if wanted and not item.nodeid.startswith("tests/flare/deployment/"):
            assert group_of_test(item.nodeid) == min(wanted, key=list(GROUPS).index), item.nodeid


def test_long_groups_begin_and_the_others_keep_their_order() -> None:
    files = ("tests/test_seeds.py", "tests/federated/security/test_honest.py", "tests/test_errors.py",
             "tests/flare/test_parity.py")  # fmt: skip
    items: list[Any] = [SimpleNamespace(nodeid=f"{file}::test_it[a::b]") for file in files]
    assert [item.nodeid.partition("::")[0] for item in in_order(items)] == [files[3], files[1], files[0], files[2]]


def test_a_group_is_handed_out_as_a_whole() -> None:
    together = Together.__new__(Together)
    first, second = (
        together._split_scope(f"tests/flare/{name}.py::test_it") for name in ("test_parity", "test_faults")
    )
    assert first == second == "whole_runs"
    assert together._split_scope("tests/test_seeds.py::test_it") == str(ROOT / "tests" / "test_seeds.py")
