# SPDX-License-Identifier: Apache-2.0
"""Stages of methods whose sites have networks of their own."""
