# SPDX-License-Identifier: Apache-2.0
"""Site folders: datalists, readers, checks, generated demo sites and the synthetic-set store."""

from __future__ import annotations

from dsfedmed.data.inversion import RandInvertIntensityd
from dsfedmed.data.reading import LoadSiteImaged

__all__ = ["LoadSiteImaged", "RandInvertIntensityd"]
