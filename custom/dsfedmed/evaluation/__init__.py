# SPDX-License-Identifier: Apache-2.0
"""The evaluation protocol: per-case metrics, intervals and the authors' legacy protocol."""
