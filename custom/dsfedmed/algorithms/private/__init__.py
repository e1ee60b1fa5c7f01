# SPDX-License-Identifier: Apache-2.0
"""Maths of learning with differential privacy: draws from a secret, clipped gradients, noise."""
