# SPDX-License-Identifier: Apache-2.0
"""Site folders: datalists, readers, checks, generated demo sites and the synthetic-set store.

What needs MONAI is imported when it is asked for: a process that only passes messages on starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.data.intensity.bezier import RandBezierIntensityd
    from dsfedmed.data.intensity.inversion import RandInvertIntensityd
    from dsfedmed.data.intensity.random_network import RandNonlinearIntensityd
    from dsfedmed.data.reading import LoadSiteImaged

__all__ = ["LoadSiteImaged", "RandBezierIntensityd", "RandInvertIntensityd", "RandNonlinearIntensityd"]

__getattr__ = late_names(
    __name__,
    {
        "LoadSiteImaged": "reading",
        "RandBezierIntensityd": "intensity.bezier",
        "RandInvertIntensityd": "intensity.inversion",
        "RandNonlinearIntensityd": "intensity.random_network",
    },
)
