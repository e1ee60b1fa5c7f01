# SPDX-License-Identifier: Apache-2.0
"""CPU time of a process and its descendants."""

from __future__ import annotations

import subprocess
import sys

from dsfedmed_benchmarks.measurement.process_time import CpuClock


def test_cpu_time_counts_a_process_its_child_and_those_that_have_ended():
    spin = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    script = f"import subprocess, sys, time\n{spin}subprocess.run([sys.executable, '-c', {spin!r} + 'time.sleep(1)'])\n"
    process = subprocess.Popen([sys.executable, "-c", script + "time.sleep(0.7)"])
    clock = CpuClock(process.pid)
    process.wait()
    assert 0.9 < clock.stop() < 2.0
