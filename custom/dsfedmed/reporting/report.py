# SPDX-License-Identifier: Apache-2.0
"""From RUN/record.json to RUN/results.json and RUN/report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsfedmed.reporting.page.assembly import page
from dsfedmed.reporting.record import RECORD_NAME, Record, load_record
from dsfedmed.reporting.results import finite, write_results
from dsfedmed.store.files import write_text
from dsfedmed.store.run_version import require_this_version

REPORT_NAME = "report.html"


def build_results(run: Path) -> dict[str, Any]:
    """Write results.json alone; return the results.

    Args:
        run: the run folder, which holds record.json.

    Raises:
        StoreError: as `build_report`.
    """
    return write_results(_record(run))


def build_report(run: Path, cases: bool = True) -> dict[str, Any]:
    """Write results.json and report.html of a run, finished or not; return the results.

    Args:
        run: the run folder, which holds record.json and, where sites made them on the same disk,
            ``sites/<site>/pictures`` and ``synthetic/*.png``.
        cases: show those pictures of the sites' cases, with their names; without, the report may be passed on.

    Raises:
        StoreError: the record cannot be read or used, another version of the program made it, or the files cannot be
            written.
    """
    record = _record(run)
    results = write_results(record)
    write_text(run / REPORT_NAME, page(record, results, cases))
    return results


def _record(run: Path) -> Record:
    """Read a record of this version, with numbers that JSON can hold."""
    record = load_record(run)
    require_this_version(run / RECORD_NAME, record.mapping("versions").get("dsfedmed"))
    return Record(run, finite(record.data))
