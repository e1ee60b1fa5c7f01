# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation of teacher and light network at the server, and the soft labels that travel."""
