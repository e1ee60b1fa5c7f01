# SPDX-License-Identifier: Apache-2.0
"""A site's account of noisy releases: kept on disk, one seed for each, added up over all runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsfedmed.flare.privacy.ledger import SEED_BITS, PrivacyLedger


def test_a_release_that_is_recorded_keeps_its_seed(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    first = PrivacyLedger(file).get_or_create("run/dsf_train/1", 0.5)
    assert 0 <= first.seed < 2**SEED_BITS
    assert not file.exists(), "nothing is written before it is about to leave"
    assert PrivacyLedger(file).get_or_create("run/dsf_train/1", 0.5).seed != first.seed
    PrivacyLedger(file).record(first)
    assert PrivacyLedger(file).get_or_create("run/dsf_train/1", 0.9) == first
    assert json.loads(file.read_text()) == [{"key": "run/dsf_train/1", "mu": 0.5, "seed": first.seed}]


def test_costs_add_up_as_gaussian_mechanisms_do(tmp_path: Path) -> None:
    ledger = PrivacyLedger(tmp_path / "account.json")
    for number, mu in enumerate((3.0, 4.0)):
        release = ledger.get_or_create(str(number), mu)
        assert ledger.total_with(release) == pytest.approx((3.0, 5.0)[number])
        ledger.record(release)
    again = ledger.get_or_create("0", 3.0)
    assert ledger.total_with(again) == pytest.approx(5.0), "one that is asked again is paid for"
    ledger.record(again)
    assert set(ledger.releases()) == {"0", "1"}
