# SPDX-License-Identifier: Apache-2.0
"""The option ``--local`` of commands that open bundles: what the party accepts there beyond the package's own list."""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import FILE_NAME, load_party_config


def add_local(parser: argparse.ArgumentParser) -> None:
    """Declare ``--local``."""
    text = f"the party's folder with {FILE_NAME}, whose `bundle_classes` a bundle may name, too"
    parser.add_argument("--local", type=Path, metavar="DIR", help=text)


def bundle_classes(local: Path | None) -> tuple[str, ...]:
    """Return ``bundle_classes`` of the policy file in ``local``; none without a folder.

    Raises:
        ConfigError: there is no such file, or it is not usable.
    """
    if local is None:
        return ()
    if not (local / FILE_NAME).is_file():
        raise ConfigError(local / FILE_NAME, "no such file", f"Give the folder that holds {FILE_NAME}")
    return load_party_config(local, "site").bundle_classes
