# SPDX-License-Identifier: Apache-2.0
"""Build single parts of a bundle's configuration, after its rules were checked."""

from __future__ import annotations

import copy
import functools
from typing import Any

from monai.bundle import ComponentLocator, ConfigParser

from dsfedmed.errors import ConfigError, DSFedMedError


class Components:
    """The parts of one configuration; each is built once, so that two that refer to a third share it.

    Args:
        document: a configuration that `dsfedmed.bundles.rules` allow; it is copied.
        where: the file, for errors.
    """

    def __init__(self, document: dict[str, Any], where: object) -> None:
        self.where = where
        self._parser = ConfigParser(copy.deepcopy(document))
        self._parser.locator = _locator()

    def build(self, key: str) -> Any:
        """Instantiate the component ``key``, a top-level id that is there, and what it refers to.

        Raises:
            ConfigError: naming the file and the innermost cause, which MONAI wraps.
            DSFedMedError: what a component of this package raised itself.
        """
        try:
            return self._parser.get_parsed_content(key)
        except Exception as error:
            cause = innermost(error)
            if isinstance(cause, DSFedMedError):
                raise cause from error
            reason = f"'{key}' cannot be built ({cause})"
            raise ConfigError(self.where, reason, "Correct the bundle or the settings.") from error


def innermost(error: BaseException) -> BaseException:
    """Return what an error was raised from in the first place: MONAI wraps whatever a component raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@functools.cache
def _locator() -> ComponentLocator:
    """MONAI's table of its own names; every parser would go through all of MONAI's modules to make one of its own."""
    return ComponentLocator()
