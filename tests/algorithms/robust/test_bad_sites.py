# SPDX-License-Identifier: Apache-2.0
"""A rule is refused where too few sites take part."""

from __future__ import annotations

import pytest

from dsfedmed.algorithms.robust.bad_sites import require_outvoted
from dsfedmed.errors import ConfigError


def test_enough_sites_are_let_through_and_too_few_are_not() -> None:
    require_outvoted("median", 3, 1, least=3)
    with pytest.raises(ConfigError, match=r"robust\.rule: median needs 3 sites or more to outvote 1 bad, and 2"):
        require_outvoted("median", 2, 1, least=3)
