# SPDX-License-Identifier: Apache-2.0
"""A package's names whose modules are imported when they are first asked for (PEP 562).

Parts of this package take seconds and hundreds of megabytes to import (MONAI, diffusers). A process that needs one
small class of a room, as the job process at a hospital does, is not to pay for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return what a package gives itself as ``__getattr__``.

    Args:
        package: its name.
        modules: by name, the module within the package that has it. No name is that of a module of the package: once
            imported, the module would stand in its place.

    Returns:
        a function of a name; it raises ``AttributeError`` for one that is not among ``modules``.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get
