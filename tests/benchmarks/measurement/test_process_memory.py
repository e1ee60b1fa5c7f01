# SPDX-License-Identifier: Apache-2.0
"""Figures of a process's memory."""

from __future__ import annotations

from mmap import mmap

import pytest

from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak, resident_mib


def test_the_peak_sees_what_was_there_and_can_start_again():
    reset_peak()
    before = resident_mib()
    with mmap(-1, 64 * 2**20) as block:  # fresh pages: an allocator may hand out some that were resident before
        block.write(bytes(64 * 2**20))
        held = resident_mib()
    assert held - before == pytest.approx(64, abs=8)
    assert peak_mib() - before >= 56
    reset_peak()
    assert peak_mib() - resident_mib() < 8
