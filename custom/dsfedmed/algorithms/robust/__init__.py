# SPDX-License-Identifier: Apache-2.0
"""Aggregation that a few bad updates cannot move at will: pure functions on updates as rows, (K, n)."""
