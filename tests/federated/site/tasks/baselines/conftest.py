# SPDX-License-Identifier: Apache-2.0
"""A site that has just started, and the plan of its federation."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from tests.federated.site.tasks.baselines.toy_site import make_plan, make_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteContext:
    return make_site(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return make_plan()
