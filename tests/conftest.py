# SPDX-License-Identifier: Apache-2.0
"""Made-up sites and whole runs in this process, each made once for all tests that look at it.

Property tests have no clock: machines are busy, and a slow draw is no fault of the code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from dsfedmed.data.demo.sites import make_demo_sites
from tests.groups import Together, in_order
from tests.runs.local import run_in_process
from tests.runs.recording import Recording
from tests.runs.smoke import COUNTS, Place, unlabelled_copy, whole

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the long groups begin where the suite is shared among processes."""
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Keep together what shares a run."""
    return Together(config, log)


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
def in_process(sites: Path, unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recording]:
    """Return what gives the whole run of a method; each is made once."""

    @cache
    def run(method: str) -> Recording:
        place = Place.of(method, sites, unlabelled)
        folder = tmp_path_factory.mktemp(method)
        return run_in_process(method, whole(method), place.sites, folder, pictures=True, **place.paths)

    return run


@pytest.fixture(scope="session")
def dsfedmed_in_process(in_process: Callable[[str], Recording]) -> Recording:
    """DSFedMed with all its comparisons."""
    return in_process("dsfedmed")


@pytest.fixture(scope="session")
def pfedsam_in_process(in_process: Callable[[str], Recording]) -> Recording:
    """pFedSAM with its comparison."""
    return in_process("pfedsam")


@pytest.fixture(scope="session")
def samfed_in_process(in_process: Callable[[str], Recording]) -> Recording:
    """SAM-Fed, one network for all sites."""
    return in_process("samfed")
