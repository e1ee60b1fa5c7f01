# SPDX-License-Identifier: Apache-2.0
"""Every rule on updates that are held: by hand, one of four far off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.errors import ConfigError
from dsfedmed.federated.server.robust.combine import combined
from dsfedmed.federated.server.robust.held_updates import HeldUpdates
from dsfedmed.settings_sections import RobustSettings

LIKE = {"w": torch.zeros(2)}
SENT = {"a": [1.0, 0.0], "b": [2.0, 0.0], "c": [3.0, 0.0], "bad": [1e6, 0.0]}
COUNTS = {"a": 10, "b": 10, "c": 20, "bad": 30}


def result(folder: Path, **settings: Any) -> list[float]:
    held = HeldUpdates(folder / "updates", LIKE)
    for site, values in SENT.items():
        held.add(site, {"w": torch.tensor(values)})
    made = combined(held, held.sites, COUNTS, WeightedMean(LIKE), RobustSettings(**settings))
    found: list[float] = made["w"].tolist()
    return found


def test_the_mean_by_hand(tmp_path: Path) -> None:
    assert result(tmp_path)[0] == pytest.approx((10 + 20 + 60 + 30e6) / 70)


def test_a_bound_on_the_share_by_hand(tmp_path: Path) -> None:
    assert result(tmp_path, max_share=0.3)[0] == pytest.approx(0.7 * (10 + 20 + 60) / 40 + 0.3e6)


@pytest.mark.parametrize(
    ("rule", "least", "most"),
    [("median", 2.5, 2.5), ("trimmed_mean", 2.5, 2.5), ("geometric_median", 2.9, 3.3), ("norm_clipping", 1.8, 2.2)],
)
def test_robust_rules_stay_among_the_honest(rule: str, least: float, most: float, tmp_path: Path) -> None:
    found = result(tmp_path, rule=rule)
    assert least <= found[0] <= most
    assert found[1] == 0


def test_multi_krum_is_refused_with_four_sites(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multi_krum needs 5 sites"):
        result(tmp_path, rule="multi_krum")
    assert result(tmp_path, rule="multi_krum", bad_sites=0)[0] > 1e5
