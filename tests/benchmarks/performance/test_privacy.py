# SPDX-License-Identifier: Apache-2.0
"""The cost of the privacy filters: a small table from real trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.accounting import epsilon_of
from dsfedmed.exchange.noise import global_norm
from dsfedmed_benchmarks.performance import privacy
from dsfedmed_benchmarks.performance.privacy import Filtered, Options, clipped_and_noisy

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


def test_the_table_has_every_filter_and_its_cost(tmp_path: Path) -> None:
    make_demo_sites(tmp_path / "sites", 0, ("site_a", "site_b"), training=4, validation=2, test=1)
    options = Options(
        tmp_path / "sites", ("site_a", "site_b"), BUNDLES, rounds=2, last=1, seeds=2, noise_multipliers=(0.05, 5.0),
        work=tmp_path / "work",
    )  # fmt: skip
    said: list[str] = []
    table = privacy.run(options, said.append)
    rows = {(row[0], row[2]): row for row in table.rows}
    assert list(rows) == [
        ("none", None), ("egress guard", None), ("clipping", None), ("clipping and noise", 0.05),
        ("clipping and noise", 5.0),
    ]  # fmt: skip
    assert rows["none", None][7] is None
    assert rows["clipping and noise", 0.05][3] is None, "above 700"
    assert rows["clipping and noise", 5.0][3] == pytest.approx(epsilon_of(2**0.5 * 2 / 5.0, 1e-5))
    assert all(row[4] > 0 for row in table.rows if row[0] != "egress guard")
    assert all(row[5] > 0 for key, row in rows.items() if key != ("none", None))
    assert len(said) == 8


def test_a_row_is_the_filter_by_hand() -> None:
    update = {"w": torch.full((400, 400), 0.5)}
    assert global_norm(clipped_and_noisy(Filtered(clip=2.0), update, 0)) == pytest.approx(2.0, rel=1e-5)
    noisy = clipped_and_noisy(Filtered(clip=2.0, noise_multiplier=0.1), update, 0)["w"]
    assert float((noisy - 2.0 / 400).std()) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("change", [{"clip": 0.0}, {"noise_multipliers": (0.0,)}])
def test_options_without_meaning_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Options(Path("sites"), ("a",), **change)  # type: ignore[arg-type]
