# SPDX-License-Identifier: Apache-2.0
"""The bundles that a party has installed, by the plain name of their folder."""

from __future__ import annotations

import re
from pathlib import Path

from dsfedmed.bundles.setting_values import shown
from dsfedmed.errors import ConfigError

NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")


def require_bundle_name(name: object, where: object) -> str:
    """Return ``name`` if it can be the name of an installed bundle.

    Raises:
        ConfigError: it is anything else, such as a path.
    """
    if type(name) is not str or not NAME.fullmatch(name):
        reason = f"{shown(name)} is no bundle's name"
        raise ConfigError(where, reason, "A bundle is named by its folder: small letters, digits and _, up to 64.")
    return name


def installed_bundle(bundles: Path, name: object, where: object = "bundle") -> Path:
    """Return the folder of an installed bundle.

    Args:
        bundles: the folder of all bundles.
        name: what somebody calls it; not trusted.
        where: who does.

    Raises:
        ConfigError: it is no name, there is no such folder, or the folder is a link to somewhere else.
    """
    folder = bundles / require_bundle_name(name, where)
    if not folder.is_dir():
        fix = "Install it in the folder that `bundles` in local/dsfedmed.yaml names, or choose another."
        raise ConfigError(where, f"the bundle '{name}' is not installed", fix)
    if folder.resolve() != bundles.resolve() / str(name):
        raise ConfigError(where, f"the bundle '{name}' is a link", "Copy the bundle's folder in the link's place.")
    return folder
