# SPDX-License-Identifier: Apache-2.0
"""The evaluation protocol: metrics per image, intervals and the authors' legacy protocol."""
