# SPDX-License-Identifier: Apache-2.0
"""Downloads made once per test run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.datasets import layouts

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "fundus": layouts.fundus,
    "prostate": layouts.prostate,
    "nuclei": layouts.nuclei,
    "isic": layouts.isic,
    "chaos": layouts.chaos,
}


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return one unpacked download per data set; tests do not change them."""
    return {name: make(tmp_path_factory.mktemp(name) / name) for name, make in LAYOUTS.items()}
