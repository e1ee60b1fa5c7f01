# SPDX-License-Identifier: Apache-2.0
"""The command of a job folder: its command line, and what it does."""

from dsfedmed.cli.job.command import run_job
from dsfedmed.cli.job.words import ENGINES, RENAMED, build_parser, planned_settings

__all__ = ["ENGINES", "RENAMED", "build_parser", "planned_settings", "run_job"]
