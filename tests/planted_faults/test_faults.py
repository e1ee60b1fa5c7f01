# SPDX-License-Identifier: Apache-2.0
"""The list of planted faults does not rot: each can still be planted, and its tests are there.

Whether the tests notice them is for `python -m tests.planted_faults.plant`, which takes minutes.
"""

from __future__ import annotations

import pytest

from tests.planted_faults.plant import ROOT, Fault, problems_of, read_faults


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault.name)
def test_it_can_be_planted_and_its_tests_exist(fault: Fault) -> None:
    assert problems_of(fault, ROOT) == []
