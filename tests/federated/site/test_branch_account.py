# SPDX-License-Identifier: Apache-2.0
"""The account of private branches: what is the same release, what is another, and when the site has spent enough."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all
from dsfedmed.federated.site.branch_account import Entered, enter

COST, DELTA = SampledRelease(20.0, 1.0, 50), 1e-4
ONE, TWO = (epsilon_of_all([COST] * count, DELTA) for count in (1, 2))


def entered(file: Path, key: str, most: float = 0.0, repeats: bool = True) -> Entered:
    return enter(file, key, COST, DELTA, most, repeats)


def test_a_repeated_fit_is_the_same_release_and_another_fit_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "local" / "branch_privacy-site_a.json"
    first, again, other = entered(file, "a"), entered(file, "a"), entered(file, "b")
    assert first == again
    assert (first.total_epsilon, first.branches) == (pytest.approx(ONE), 1)
    assert (other.total_epsilon, other.branches) == (pytest.approx(TWO), 2)
    assert first.release.secret != other.release.secret
    assert len(bytes.fromhex(first.release.secret)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "the secrets of the noise are for the site alone"


def test_where_bits_may_differ_each_fit_is_a_release_of_its_own(tmp_path: Path) -> None:
    found = [entered(tmp_path / "a.json", "a", repeats=False) for _ in range(2)]
    assert found[1].branches == 2
    assert found[0].release.secret != found[1].release.secret


def test_a_used_up_budget_enters_nothing_and_the_old_branch_may_be_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    first = entered(file, "a", most=1.1 * ONE)
    with pytest.raises(ConfigError, match=r"budget for private branches is used up.*max_epsilon in its dsfedmed\.yaml"):
        entered(file, "b", most=1.1 * ONE)
    assert len(json.loads(file.read_text())) == 1
    assert entered(file, "a", most=1.1 * ONE) == first
