# SPDX-License-Identifier: Apache-2.0
"""The report's figures, one question each, as SVG (Matplotlib, no display)."""
