# SPDX-License-Identifier: Apache-2.0
"""Running a method: the command lines of `dsfedmed run`, of its relatives and of the job folders, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.cli.job.command import run_job
    from dsfedmed.cli.job.words import ENGINES, RENAMED, build_parser, planned_settings

__all__ = ["ENGINES", "RENAMED", "build_parser", "planned_settings", "run_job"]

__getattr__ = late_names(
    __name__,
    {
        "run_job": "command",
        "ENGINES": "words",
        "RENAMED": "words",
        "build_parser": "words",
        "planned_settings": "words",
    },
)
