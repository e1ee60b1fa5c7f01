# SPDX-License-Identifier: Apache-2.0
"""Gate and trials change nothing where every site is honest, and what they cost is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.performance.trials import TrialsOptions, run
from tests.federated.tiny import BUNDLES


def test_the_same_weights_at_a_cost_that_is_told(tmp_path: Path) -> None:
    make_demo_sites(tmp_path / "sites", training=4, validation=4, test=2)
    table = run(TrialsOptions(tmp_path / "sites", BUNDLES, rounds=2, turns=1))
    ((sites, rounds, plain, default, more, same),) = table.rows
    assert (sites, rounds, same) == ("sites (4)", 2, "yes")
    assert isinstance(plain, float)
    assert isinstance(default, float)
    assert more == pytest.approx(100 * (default / plain - 1))


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="run from 1"):
        TrialsOptions(rounds=0)
