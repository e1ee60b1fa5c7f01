# SPDX-License-Identifier: Apache-2.0
"""Multi-Krum: the updates that lie closest to their neighbours.

Source: Blanchard et al., Machine Learning with Adversaries (NeurIPS 2017), section 4 and proposition 2: an update's
score is the sum of its squared distances to the K - f - 2 nearest others; it holds for 2 f + 2 < K.

Deviation: none. The m = K - f updates of the lowest score are chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.algorithms.robust.bad_sites import require_outvoted
from dsfedmed.algorithms.robust.geometry import squared_distances


def multi_krum(gram: Tensor, bad: int) -> list[int]:
    """Return the indices of the K - ``bad`` updates with the lowest score, ascending; of equal ones the first.

    Args:
        gram: (K, K) inner products of the updates.
        bad: f, sites that may be bad.

    Raises:
        ConfigError: K < 2 f + 3.
    """
    sites = len(gram)
    require_outvoted("multi_krum", sites, bad, least=2 * bad + 3)
    distances = squared_distances(gram).fill_diagonal_(torch.inf)
    scores = distances.sort(dim=1).values[:, : sites - bad - 2].sum(dim=1)
    chosen = scores.argsort(stable=True)[: sites - bad]
    return sorted(int(index) for index in chosen)
