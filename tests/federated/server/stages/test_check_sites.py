# SPDX-License-Identifier: Apache-2.0
"""What the stage "check sites" stops at once, so that nobody finds out after hours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.facts import SiteFacts
from dsfedmed.errors import DataError
from dsfedmed.federated.server.stages.check_sites import check_sites, require_auditors
from dsfedmed.federated.wire.message import Message
from tests.federated.tiny import FakeFlow, tiny_settings

COUNTS = {"training": 4, "validation": 8, "test": 1}
FACTS = SiteFacts(1, 1, ("lesion",), True, (0, 1), COUNTS, (".png",), (64, 64), (64, 64), {})


def flow_of(folder: Path, validation: dict[str, int], min_sites: int) -> Any:
    """Two sites with so many validation images."""

    def answer(site: str, _task: str, _request: Message) -> Message:
        facts = replace(FACTS, counts={**COUNTS, "validation": validation[site]})
        return Message({"facts": facts.to_dict()})

    return FakeFlow(folder, tiny_settings(min_sites=min_sites), answer)


def test_a_source_site_without_a_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="site_b: has no validation images"):
        check_sites(flow_of(tmp_path, {"site_a": 8, "site_b": 0}, 1))


def test_too_few_sites_that_can_audit_stop_the_run_before_it_generates(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, {"site_a": 8, "site_b": 7}, 2)
    check_sites(flow)
    with pytest.raises(DataError, match="site_b 7: fewer than the 8 validation images"):
        require_auditors(flow)


def test_a_site_that_cannot_audit_is_told_of_where_enough_others_can(tmp_path: Path) -> None:
    flow = flow_of(tmp_path, {"site_a": 8, "site_b": 7}, 1)
    check_sites(flow)
    require_auditors(flow)
    assert any("site_b 7" in line and "train without it" in line for line in flow.progress.lines)
    enough = flow_of(tmp_path / "enough", {"site_a": 8, "site_b": 8}, 2)
    check_sites(enough)
    before = len(enough.progress.lines)
    require_auditors(enough)
    assert len(enough.progress.lines) == before
