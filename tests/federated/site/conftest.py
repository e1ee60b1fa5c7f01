# SPDX-License-Identifier: Apache-2.0
"""One made-up site and its context."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of one site."""
    (folder,) = make_demo_sites(tmp_path_factory.mktemp("images"), 0, ("site_a",), training=6, validation=3, test=2)
    return folder


@pytest.fixture
def site(tmp_path: Path, images: Path) -> SiteContext:
    """That site, with an empty folder of its own."""
    site_module._datalist.cache_clear()
    return SiteContext("site_a", PartyConfig(data=images, bundles=BUNDLES), tmp_path / "work")


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    """What the server agreed on with it."""
    return tiny_plan(tiny_settings())
