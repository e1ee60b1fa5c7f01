# SPDX-License-Identifier: Apache-2.0
"""Which method to use from a run, and why: the rule, and its sentence."""
