# SPDX-License-Identifier: Apache-2.0
"""Layers of the promptless SAM that low-rank updates may adapt, as settings name them."""

from __future__ import annotations

STEM = "stem"
TARGETS = ("qkv", "proj", "lin1", "lin2", STEM)
"""Linear layers of a ViT block: attention's input and output, the MLP's two; and the patch embedding's convolutions."""
