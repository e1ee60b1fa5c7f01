# SPDX-License-Identifier: Apache-2.0
"""The Gaussian mechanism's path up to version 0.3; it is `dsfedmed.flare.privacy.gaussian.GaussianMechanism` now."""

from __future__ import annotations

from dsfedmed.federated.privacy import refuse_moved


class GaussianMechanism:
    """Refuses to be made, whatever its arguments.

    Raises:
        ConfigError: always, with the path of the mechanism.
    """

    def __init__(self, *_: object, **__: object) -> None:
        refuse_moved(f"{__name__}.GaussianMechanism", "dsfedmed.flare.privacy.gaussian.GaussianMechanism")
