# SPDX-License-Identifier: Apache-2.0
"""``python -m dsfedmed_benchmarks``."""

from __future__ import annotations

import sys

from dsfedmed_benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
