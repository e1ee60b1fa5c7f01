# SPDX-License-Identifier: Apache-2.0
"""The SAM-Fed job: labels at the server only, unlabelled images at the sites, SAM as the teacher of every pixel.

In simulation one site's labels play the public set (--label-site); elsewhere the server's `public` folder is it.
The tuned teacher travels once: whole, or with `teacher.tune: lora` as low-rank updates and decoder, and then every site
holds the file of its foundation.

Examples:
  python jobs/samfed/job.py --sites data/demo --unseen site_d --label-site site_a --preset demo --out runs/samfed
  python jobs/samfed/job.py --write-job jobs --preset demo --unseen site_d
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
    return run_job("samfed", Path(__file__).resolve().parent, __doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
