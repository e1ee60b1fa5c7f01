# SPDX-License-Identifier: Apache-2.0
"""Coordinate-wise median and trimmed mean by hand, and what one bad site can do to them."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.robust.order_statistics import coordinate_median, trimmed_mean
from dsfedmed.errors import ConfigError

ROWS = torch.tensor([[1.0, 10.0], [2.0, -1e6], [3.0, 30.0], [1e6, 20.0]])


def test_the_median_by_hand() -> None:
    assert coordinate_median(ROWS).tolist() == [2.5, 15.0]
    assert coordinate_median(ROWS[:3]).tolist() == [2.0, 10.0]
    assert coordinate_median(ROWS[:1]).tolist() == [1.0, 10.0]


def test_the_trimmed_mean_by_hand() -> None:
    assert trimmed_mean(ROWS, 1).tolist() == [2.5, 15.0]
    assert trimmed_mean(ROWS, 0)[0] == pytest.approx((1e6 + 6) / 4)


@pytest.mark.parametrize("bad", [-3e38, -1.0, 0.0, 3e38])
def test_one_bad_site_stays_within_what_the_others_sent(bad: float) -> None:
    honest = torch.tensor([[1.0, -2.0], [2.0, -3.0], [4.0, -5.0]])
    rows = torch.cat([honest, torch.full((1, 2), bad)])
    for found in (coordinate_median(rows), trimmed_mean(rows, 1)):
        assert (found >= honest.amin(0)).all()
        assert (found <= honest.amax(0)).all()


def test_too_few_sites_to_trim_are_refused() -> None:
    with pytest.raises(ConfigError, match="trimmed_mean needs 3 sites or more to outvote 1 bad, and 2 sent an update"):
        trimmed_mean(ROWS[:2], 1)
