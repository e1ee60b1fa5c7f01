# SPDX-License-Identifier: Apache-2.0
"""Where the folders lie that come with the package: bundles, jobs with their presets, and what real sites need.

In a repository they are the folders of that name beside ``custom/``; in an installed wheel they are copies of these,
within the package (``pyproject.toml`` says which, a test compares them).
"""

from __future__ import annotations

from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.methods import METHODS

FOLDERS = ("bundles", "jobs", "poc")
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return one of ``FOLDERS``.

    Raises:
        ConfigError: it is not there, as when only ``custom/`` was copied.
    """
    for folder in (_PACKAGE / "shipped_files" / name, _PACKAGE.parents[1] / name):
        if folder.is_dir():
            return folder
    raise ConfigError(name, "did not come with this installation", "Install the wheel, or work in a whole checkout")


def bundles() -> Path:
    """Return the folder of the bundles."""
    return shipped("bundles")


def job_folder(method: str) -> Path:
    """Return the job folder of a method, with its presets; several methods may have one together."""
    return shipped("jobs") / (METHODS[method].job or method)
