# SPDX-License-Identifier: Apache-2.0
"""The pFedSAM job: a global low-rank branch of SAM, and a personal branch with experts at every site.

Every site holds the file of the teacher's foundation; only low-rank updates and the mask decoder travel.

Examples:
  python jobs/pfedsam/job.py --sites data/demo --unseen site_d --preset demo --teacher FILE --out runs/pfedsam
  python jobs/pfedsam/job.py --write-job jobs --preset demo --unseen site_d
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
    return run_job("pfedsam", Path(__file__).resolve().parent, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
