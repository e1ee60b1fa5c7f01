# SPDX-License-Identifier: Apache-2.0
"""Run a tutorial notebook again and write its outputs into it (a minute; no Jupyter is needed).

Example:
  python -m dsfedmed_benchmarks tutorial docs/tutorials/first_run.ipynb
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="file to run and to write")


def run(args: argparse.Namespace) -> int:
    """Run the cells in an empty folder, then write the notebook."""
    from dsfedmed.store.files import write_text
    from dsfedmed_benchmarks.tutorial.notebook import code_cells, read_notebook, run_cells

    path = args.notebook.resolve()
    document = read_notebook(path)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        try:
            run_cells(code_cells(document))
        finally:
            os.chdir(before)
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(args.notebook)
    return 0
