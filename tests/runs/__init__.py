# SPDX-License-Identifier: Apache-2.0
"""Whole runs for the tests: by a user's commands in real processes, or in this process on the local transport."""
