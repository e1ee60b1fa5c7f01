# SPDX-License-Identifier: Apache-2.0
"""What a run does that its method's paper does not: named from its settings, so that no figure passes for the paper's.

Each method's entry (`dsfedmed.methods`) lists settings with the values that are the paper's, or where the paper is
silent its released code's. The presets ``paper`` have none beyond them (a test). `docs/explanation/fidelity.md` has the
sources. What is not listed is neither: sizes, numbers of steps, and formats of the passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dsfedmed.methods import Beyond


def beyond_the_paper(entries: Iterable[Beyond], settings: Mapping[str, Any]) -> list[str]:
    """Return in words what of ``entries`` a run's settings switch on.

    A setting that is not there, in the record of an older version, is none; without any there is nothing to say.

    Args:
        entries: of the run's method.
        settings: nested, as `dsfedmed.settings.Settings.to_dict` has them.
    """
    found = []
    for entry in entries if settings else ():
        value = _value(settings, entry)
        if value is not None and value not in entry.paper:
            found.append(entry.words)
    return found


def _value(settings: Mapping[str, Any], entry: Beyond) -> Any:
    section, _, name = entry.setting.partition(".")
    values = _section(settings, section)
    if section == "light_settings":
        named = f"{_section(settings, 'light').get('bundle')}/{name}"
        return values.get(name, values.get(named, entry.default))
    return values.get(name, entry.default)


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a record's settings, which an older version may have written otherwise."""
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}
