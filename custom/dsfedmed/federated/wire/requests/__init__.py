# SPDX-License-Identifier: Apache-2.0
"""The requests and replies of all tasks, a pair for each."""
