# SPDX-License-Identifier: Apache-2.0
"""Which tests stay together where two processes share the suite (`make test`, by pytest-xdist).

A file is never divided. Files that look at the same whole runs are one group, so that each run is made once; so are
those that start real processes, of which there are enough for one machine already. pytest-xdist's own groups, by a
mark, are not heeded with pytest 9.2, and the process that hands out the tests knows no more of a test than its name:
a group is told by the text of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {
    "whole_runs": r"\bmark\.federation\b|\b(\w+_)?(in_process|over_nvflare): (Recording|Callable)\b",
    "label_server": r"\bserver: Server\b",
    "security": r"\b(small_sites: Path|honest: dict)\b",
    "finished_run": r"\bfinished: Finished\b",
}
"""By group, what stands in its files: a fixture of the session that is long in the making, as an argument, or a mark.

The longest come first, and begin first, so that at the end no process is left alone with one."""


@cache
def group_of(file: Path) -> str:
    """Return the group of a test file: the first of `GROUPS` whose words it has, or its own path."""
    text = file.read_text(encoding="utf-8")
    return next((group for group, words in GROUPS.items() if re.search(words, text)), str(file))


def group_of_test(nodeid: str) -> str:
    """Return the group of the test with this name."""
    return group_of(ROOT / nodeid.partition("::")[0])


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return tests in the order in which their groups begin."""
    places = {group: number for number, group in enumerate(GROUPS)}
    return sorted(items, key=lambda item: places.get(group_of_test(item.nodeid), len(places)))


class Together(LoadScopeScheduling):
    """Hands out whole groups, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of_test(nodeid)
