# SPDX-License-Identifier: Apache-2.0
"""Workflows of methods of others on the light network."""
