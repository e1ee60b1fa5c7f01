# SPDX-License-Identifier: Apache-2.0
"""Made-up sites, and what an honest site says in a run of each method."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from tests.federated.security.federation import OF_METHOD, SOURCES, UNSEEN, Outcome, federate
from tests.runs.local import without_pictures


@pytest.fixture(scope="session")
def small_sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites and an unseen one, as small as the audit allows."""
    folder = tmp_path_factory.mktemp("security") / "sites"
    make_demo_sites(folder, 0, (*SOURCES, UNSEEN), training=4, validation=8, test=2)
    return folder


@pytest.fixture(scope="session")
def honest(small_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A run of each method in which all sites are honest."""
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        return {case: federate(case, tmp_path_factory.mktemp(case), small_sites) for case in OF_METHOD}
