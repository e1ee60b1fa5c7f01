# SPDX-License-Identifier: Apache-2.0
"""Generated demo images: sites, public shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.data.demo.sites import make_demo_sites

__all__ = ["make_demo_sites"]

__getattr__ = late_names(__name__, {"make_demo_sites": "sites"})
