# SPDX-License-Identifier: Apache-2.0
"""The whole run of each method in real NVFlare processes, once for all tests that look at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.flare.recorded import record_run
from tests.runs.recording import Recording
from tests.runs.smoke import Place, whole


@pytest.fixture(scope="session")
def over_nvflare(sites: Path, unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recording]:
    """Return what gives the whole run of a method; each is made once."""

    @cache
    def run(method: str) -> Recording:
        place = Place.of(method, sites, unlabelled)
        return record_run(
            method, whole(method), place.sites, tmp_path_factory.mktemp(f"{method}_nvflare"), **place.paths
        )

    return run


@pytest.fixture(scope="session")
def dsfedmed_over_nvflare(over_nvflare: Callable[[str], Recording]) -> Recording:
    """DSFedMed with all its comparisons."""
    return over_nvflare("dsfedmed")


@pytest.fixture(scope="session")
def pfedsam_over_nvflare(over_nvflare: Callable[[str], Recording]) -> Recording:
    """pFedSAM with its comparison."""
    return over_nvflare("pfedsam")


@pytest.fixture(scope="session")
def samfed_over_nvflare(over_nvflare: Callable[[str], Recording]) -> Recording:
    """SAM-Fed, one network for all sites."""
    return over_nvflare("samfed")
