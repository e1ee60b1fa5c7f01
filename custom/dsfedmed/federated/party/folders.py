# SPDX-License-Identifier: Apache-2.0
"""Names of folders below a site's own folder."""

from __future__ import annotations

SET_FOLDER = "synthetic"
"""The sealed set that the site has pulled."""
AUDITS = "audits"
"""What the site said of each set."""
