# SPDX-License-Identifier: Apache-2.0
"""The place of the privacy filters up to version 0.3, which hospitals' ``local/privacy.json`` may still name.

The filters are in `dsfedmed.flare.privacy`. A policy that names the old place must not be passed over: its classes are
here to refuse, so that NVFlare does not start the site's part of a job and says the new path.
"""

from __future__ import annotations

from typing import NoReturn

from dsfedmed.errors import ConfigError


def refuse_moved(old: str, new: str) -> NoReturn:
    """Refuse a class path of version 0.3.

    Args:
        old: as the policy names it.
        new: where the class is now.

    Raises:
        ConfigError: always, with the new path.
    """
    raise ConfigError(old, f"moved to {new} in 0.4", f"Write {new} in local/privacy.json and restart the site")
