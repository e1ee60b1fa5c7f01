# SPDX-License-Identifier: Apache-2.0
"""Dual-scale federated medical image segmentation: DSFedMed on MONAI and NVFlare.

``dsfedmed.run(METHOD, SITES, OUT)`` runs a federation on this machine and returns its `Results`;
``dsfedmed.load(RUN).predict(IMAGE)`` uses a finished model; ``dsfedmed.check_site(FOLDER)`` looks at a site's data.
Importing this package imports no library; a name is fetched when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names
from dsfedmed.version import VERSION as __version__

if TYPE_CHECKING:
    from dsfedmed.api.results import Results
    from dsfedmed.api.running import check_site, run
    from dsfedmed.prediction.predictor import load

__all__ = ["Results", "__version__", "check_site", "load", "run"]

__getattr__ = late_names(
    __name__,
    {
        "run": "api.running",
        "check_site": "api.running",
        "Results": "api.results",
        "load": "prediction.predictor",
    },
)
