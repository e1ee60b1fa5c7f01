# SPDX-License-Identifier: Apache-2.0
"""A calibration with the smallest settings; every kind of work is timed in `tests/cli/job/test_plan.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.datalist import load_datalist
from dsfedmed.planning import calibration
from dsfedmed.planning.calibration import calibrate, one_thread
from dsfedmed.settings import Settings
from tests.federated.tiny import tiny_plan
from tests.runs.tiny import TINY


def test_only_what_is_needed_is_timed_and_nothing_else_changes(sites: Path) -> None:
    before = torch.random.get_rng_state()
    found = calibrate(tiny_plan(Settings.from_dict(TINY)), {"read", "light_step"}, load_datalist(sites / "site_a"))
    assert found.seconds.keys() == {"read", "light_step"}
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert sum(found.seconds.values()) < found.took
    assert found.busy >= 1
    assert found.memory > 100 * 2**20  # torch alone takes more
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_piece_is_timed_the_second_time() -> None:
    clock = iter([10.0, 16.0])
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return 3

    assert calibration._piece(work, lambda: next(clock)) == 2.0  # 6 seconds, 3 pieces
    assert len(done) == 2


def test_torch_has_its_threads_back() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def fail() -> None:
        with one_thread():
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [1]
    assert torch.get_num_threads() == before
