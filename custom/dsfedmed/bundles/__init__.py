# SPDX-License-Identifier: Apache-2.0
"""MONAI bundles: reading, checking, their declared settings, transforms, and the release."""
