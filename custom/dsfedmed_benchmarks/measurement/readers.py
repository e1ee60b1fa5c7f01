# SPDX-License-Identifier: Apache-2.0
"""The libraries that read image files, whose versions a table of readings names."""

from __future__ import annotations

import importlib.metadata

READERS = ("numpy", "pillow", "pydicom", "nibabel", "tifffile", "imagecodecs")


def reader_versions() -> dict[str, str]:
    """Return the installed version of each."""
    return {name: importlib.metadata.version(name) for name in READERS}
