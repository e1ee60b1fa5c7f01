# SPDX-License-Identifier: Apache-2.0
"""Masks of new images with a finished model: a run's release, or any bundle of this kind with weights.

``load`` is the Python side, ``dsfedmed predict`` the command. Its masks are those of ``python -m monai.bundle run``,
bit by bit: the bundle's own preprocessing, network, inferer and postprocessing run here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.prediction.areas import Area
    from dsfedmed.prediction.assembling import Prediction
    from dsfedmed.prediction.predictor import Predictor, load

__all__ = ["Area", "Prediction", "Predictor", "load"]

_MODULES = {"Area": "areas", "Prediction": "assembling", "Predictor": "predictor", "load": "predictor"}
__getattr__ = late_names(__name__, _MODULES)
