# SPDX-License-Identifier: Apache-2.0
"""Fitting a branch with differential privacy of each patient."""
