# SPDX-License-Identifier: Apache-2.0
"""Generated demo images: sites, public shapes."""

from __future__ import annotations

from dsfedmed.data.demo.sites import make_demo_sites

__all__ = ["make_demo_sites"]
