# SPDX-License-Identifier: Apache-2.0
"""Damage that decoders pass over: cut files, wrong check sums, broken codes."""
