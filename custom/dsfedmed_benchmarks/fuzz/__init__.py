# SPDX-License-Identifier: Apache-2.0
"""Damaged files of every format, made by number, and what reading each of them comes to."""
