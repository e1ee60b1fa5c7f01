# SPDX-License-Identifier: Apache-2.0
"""Dual-scale federated medical image segmentation: DSFedMed on MONAI and NVFlare.

``dsfedmed.load(RUN).predict(IMAGE)`` uses a finished model. Importing this package imports no library; a name is
fetched when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names
from dsfedmed.version import VERSION as __version__

if TYPE_CHECKING:
    from dsfedmed.prediction.predictor import load

__all__ = ["__version__", "load"]

__getattr__ = late_names(__name__, {"load": "prediction.predictor"})
