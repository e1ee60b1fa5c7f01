# SPDX-License-Identifier: Apache-2.0
"""Dual-scale federated medical image segmentation: DSFedMed on MONAI and NVFlare."""

from dsfedmed.version import VERSION as __version__

__all__ = ["__version__"]
