# SPDX-License-Identifier: Apache-2.0
"""Record and status may be passed on: what they say names no path of this machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.federated.server.progress import LOGGER, Progress
from dsfedmed.federated.server.run_record import FILE_NAME, RunRecord
from dsfedmed.settings import Settings


def test_record_and_status_say_what_failed_without_the_machine_s_folders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "my runs" / "first"
    error = StoreError(run / "store" / "fit base.json", "cannot be read ([Errno 5] /dev/disk/by-id/x)", "Free space")
    record = RunRecord(run, "dsfedmed", Settings(), ["site_a"], [])
    record.event("error", str(error), "fit base")
    record.finish(f"incomplete: {error}")
    said = (run / FILE_NAME).read_text()
    assert "store/fit base.json: cannot be read" in said
    caplog.set_level(logging.INFO, logger=LOGGER.name)
    progress = Progress(run, ("fit base",))
    progress.say(f"incomplete: {error}", f"; see {run}")
    status = (run / "status.json").read_text()
    assert "store/fit base.json: cannot be read" in status
    assert str(run) in caplog.text, "the run's own log says where"
    for text in (said, status):
        assert "my runs" not in text
        assert str(tmp_path) not in text
        assert "/dev/" not in text
