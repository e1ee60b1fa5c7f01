# SPDX-License-Identifier: Apache-2.0
"""The stage store: what is done, with hashes; atomic writes; resume."""
