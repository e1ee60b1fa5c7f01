# SPDX-License-Identifier: Apache-2.0
"""Build single parts of a bundle's configuration, after its rules were checked."""

from __future__ import annotations

import copy
import functools
from typing import Any

from monai.bundle import ComponentLocator, ConfigParser

from dsfedmed.errors import ConfigError, DSFedMedError


def parser_of(document: dict[str, Any]) -> ConfigParser:
    """Return MONAI's parser of a copy of the configuration; nothing is built yet."""
    parser = ConfigParser(copy.deepcopy(document))
    parser.locator = _locator()
    return parser


def build_component(document: dict[str, Any], key: str, where: object) -> Any:
    """Instantiate the component ``key`` and what it refers to.

    Args:
        document: a configuration that `dsfedmed.bundles.rules` allow.
        key: a top-level id that is there.
        where: the file, for errors.

    Raises:
        ConfigError: naming ``where`` and the innermost cause, which MONAI wraps.
        DSFedMedError: what a component of this package raised itself.
    """
    try:
        return parser_of(document).get_parsed_content(key)
    except Exception as error:
        cause = innermost(error)
        if isinstance(cause, DSFedMedError):
            raise cause from error
        raise ConfigError(where, f"'{key}' cannot be built ({cause})", "Correct the bundle or the settings.") from error


def innermost(error: BaseException) -> BaseException:
    """Return what an error was raised from in the first place: MONAI wraps whatever a component raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@functools.cache
def _locator() -> ComponentLocator:
    """MONAI's table of its own names; every parser would go through all of MONAI's modules to make one of its own."""
    return ComponentLocator()
