# SPDX-License-Identifier: Apache-2.0
"""The FedBN job: FedAvg of the light network, but for the normalisation layers, which stay at their site.

Examples:
  python jobs/fedbn/job.py --sites data/demo --unseen site_d --preset demo --out runs/fedbn
  python jobs/fedbn/job.py --write-job jobs --preset demo --unseen site_d
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
    return run_job("fedbn", Path(__file__).resolve().parent, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
