# SPDX-License-Identifier: Apache-2.0
"""Which tests stay together where two processes share the suite (`make test`, by pytest-xdist).

A file is never divided. Files that look at the same whole runs are one group, so that each run is made once; so are
those that start real processes, of which there are enough for one machine already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

FIXTURES = {
    "over_nvflare": "whole_runs",
    "in_process": "whole_runs",
    "server": "label_server",
    "small_sites": "security",
    "finished": "finished_run",
}
"""By a session's dear fixture, the group of the files that use it; the first that a file uses decides."""
MARKS = {"federation": "whole_runs", "deployment": "whole_runs", "monailabel": "label_server"}
"""By a mark, the same."""
FIRST = ("whole_runs", "label_server", "security", "finished_run")
"""The longest groups begin, so that at the end no process is left alone with one."""


def groups_of(items: Iterable[pytest.Item]) -> dict[str, str]:
    """Return the group of each file, by its path: one of `FIRST`, or the file's own."""
    found: dict[str, str] = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        names = getattr(item, "fixturenames", ())
        own = [group for name, group in FIXTURES.items() if name in names]
        own += [group for mark, group in MARKS.items() if item.get_closest_marker(mark)]
        ranked = sorted([*own, found.get(file, file)], key=rank)
        found[file] = ranked[0]
    return found


def rank(group: str) -> int:
    """Return a group's place in the order."""
    return FIRST.index(group) if group in FIRST else len(FIRST)


def grouped(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Mark every test with its group and return them in the order in which the groups begin."""
    groups = groups_of(items)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.nodeid.partition("::")[0]]))
    return sorted(items, key=lambda item: rank(groups[item.nodeid.partition("::")[0]]))
