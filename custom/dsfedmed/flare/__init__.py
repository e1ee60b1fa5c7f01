# SPDX-License-Identifier: Apache-2.0
"""NVIDIA FLARE: everything that knows it."""
