# SPDX-License-Identifier: Apache-2.0
"""The plan of a test's own workflow, and the public set of its server."""

from __future__ import annotations

from typing import Any

import pytest

from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.public_set import PublicSet, load_public_set
from tests.federated.tiny import tiny_plan


@pytest.fixture
def plan(run: Any) -> FederationPlan:
    """The plan of a test's own ``run``."""
    return tiny_plan(run.settings)


@pytest.fixture
def public(run: Any, plan: FederationPlan) -> PublicSet:
    """Its public set, laid out."""
    return load_public_set(run, plan)
