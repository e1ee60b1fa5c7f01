# SPDX-License-Identifier: Apache-2.0
"""The whole run of each method in real NVFlare processes, once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flare.recorded import record_run
from tests.runs.recording import Recording
from tests.runs.smoke import whole


@pytest.fixture(scope="session")
def dsfedmed_over_nvflare(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """DSFedMed with all its comparisons."""
    return record_run("dsfedmed", whole("dsfedmed"), sites, tmp_path_factory.mktemp("dsfedmed_nvflare"))


@pytest.fixture(scope="session")
def pfedsam_over_nvflare(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """pFedSAM with its comparison."""
    return record_run("pfedsam", whole("pfedsam"), sites, tmp_path_factory.mktemp("pfedsam_nvflare"))


@pytest.fixture(scope="session")
def samfed_over_nvflare(unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """SAM-Fed, one network for all sites."""
    folder = tmp_path_factory.mktemp("samfed_nvflare")
    return record_run("samfed", whole("samfed"), unlabelled, folder, public=unlabelled / "site_a")


@pytest.fixture(scope="session")
def fedbn_over_nvflare(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """FedBN with its comparison."""
    return record_run("fedbn", whole("fedbn"), sites, tmp_path_factory.mktemp("fedbn_nvflare"))
