# SPDX-License-Identifier: Apache-2.0
"""Names of the made-up sites."""

from __future__ import annotations

SITES = ("site_a", "site_b", "site_c", "site_d")
"""Each has a device of its own."""
