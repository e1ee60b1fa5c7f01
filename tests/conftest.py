# SPDX-License-Identifier: Apache-2.0
"""Made-up sites and whole runs in this process, each made once for all tests that look at it.

Property tests have no clock: machines are busy, and a slow draw is no fault of the code.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dsfedmed.data.demo.sites import make_demo_sites
from tests.runs.local import run_in_process
from tests.runs.recording import Recording
from tests.runs.smoke import COUNTS, unlabelled_copy, whole

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four made-up sites."""
    folder = tmp_path_factory.mktemp("sites") / "demo"
    make_demo_sites(folder, seed=0, **COUNTS)
    return folder


@pytest.fixture(scope="session")
def unlabelled(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sites, of which site_b and site_c have no labels to learn from."""
    return unlabelled_copy(sites, tmp_path_factory.mktemp("unlabelled") / "sites", ("site_b", "site_c"))


@pytest.fixture(scope="session")
def dsfedmed_in_process(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """DSFedMed with all its comparisons."""
    return run_in_process("dsfedmed", whole("dsfedmed"), sites, tmp_path_factory.mktemp("dsfedmed"))


@pytest.fixture(scope="session")
def pfedsam_in_process(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """pFedSAM with its comparison."""
    return run_in_process("pfedsam", whole("pfedsam"), sites, tmp_path_factory.mktemp("pfedsam"))


@pytest.fixture(scope="session")
def samfed_in_process(unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """SAM-Fed, one network for all sites."""
    public = unlabelled / "site_a"
    return run_in_process("samfed", whole("samfed"), unlabelled, tmp_path_factory.mktemp("samfed"), public=public)


@pytest.fixture(scope="session")
def fedbn_in_process(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """FedBN with its comparison."""
    return run_in_process("fedbn", whole("fedbn"), sites, tmp_path_factory.mktemp("fedbn"))
