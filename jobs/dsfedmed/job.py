# SPDX-License-Identifier: Apache-2.0
"""The DSFedMed job: simulate it on site folders, or write its job folder for NVFlare.

Real processes on one machine: `dsfedmed poc`. Real sites: `--write-job DIR`, then `nvflare job submit -j DIR/dsfedmed`.

Examples:
  python jobs/dsfedmed/job.py --sites data/demo --unseen site_d --preset demo --out runs/demo
  python jobs/dsfedmed/job.py --write-job jobs --preset demo --unseen site_d
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes share the cores; more threads only fight

from dsfedmed.cli.job import run_job


def main(argv: Sequence[str] | None = None) -> int:
    """Run or write the job."""
    return run_job("dsfedmed", Path(__file__).resolve().parent, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
