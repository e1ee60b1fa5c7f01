# SPDX-License-Identifier: Apache-2.0
"""Multi-Krum by hand, and its refusal of one bad site among four."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.robust.geometry import gram_matrix
from dsfedmed.algorithms.robust.multi_krum import multi_krum
from dsfedmed.errors import ConfigError


def test_the_far_one_of_five_is_left_out() -> None:
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0], [40.0]])
    # Scores over the two nearest: 0: 1 + 4, 1: 1 + 1, 2: 1 + 1, 3: 1 + 4, 4: 37^2 + 38^2.
    assert multi_krum(gram_matrix([rows]), 1) == [0, 1, 2, 3]
    assert multi_krum(gram_matrix([rows.flip(0)]), 1) == [1, 2, 3, 4]


def test_one_bad_of_four_is_refused() -> None:
    with pytest.raises(ConfigError, match="multi_krum needs 5 sites or more to outvote 1 bad, and 4 sent an update"):
        multi_krum(torch.eye(4, dtype=torch.float64), 1)
