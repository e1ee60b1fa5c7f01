# SPDX-License-Identifier: Apache-2.0
"""Recipes: from the official downloads of the paper's data sets to site folders. Nothing is downloaded here."""

from __future__ import annotations
