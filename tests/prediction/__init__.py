# SPDX-License-Identifier: Apache-2.0
"""A finished model on new images."""
