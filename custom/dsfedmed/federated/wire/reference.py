# SPDX-License-Identifier: Apache-2.0
"""Names that both sides use for weights on their way down."""

from __future__ import annotations

FOLDER = "references"
"""Folder of whole weights, below the run folder and below a site's own folder."""
WEIGHTS = "weights/"
"""Before the names of tensors that are whole weights."""
