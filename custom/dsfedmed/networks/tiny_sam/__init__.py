# SPDX-License-Identifier: Apache-2.0
"""TinySAM, the light network of the paper's scale, and the keys of its published checkpoints.

Bundles name `dsfedmed.networks.tiny_sam.TinySam`.
"""

from dsfedmed.networks.tiny_sam.network import TinySam

__all__ = ["TinySam"]
