# SPDX-License-Identifier: Apache-2.0
"""Versions of this package and of those that decide about results, and whether two parties have the same."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping

from dsfedmed.version import VERSION

OWN = "dsfedmed"
PACKAGES = ("torch", "monai", "nvflare", "diffusers", "peft")
ABSENT = "not installed"


def versions() -> dict[str, str]:
    """Return the versions of this package, Python and the packages that decide about results."""
    found = {OWN: VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ABSENT
    return found


def differing_versions(own: Mapping[str, str], others: Mapping[str, str], whose: str) -> str:
    """Say in which versions two parties differ: this package's exactly, the others' in their first two numbers.

    Args:
        own: versions of the party that is spoken of, by package.
        others: those of the other party.
        whose: the other party in words, such as "the server".

    Returns:
        Such as "torch 2.9.1 where the server has 2.8.0", comma-separated; empty where they have the same.
    """
    said = []
    for name in (OWN, *PACKAGES):
        ours, theirs = own.get(name, ""), others.get(name, "")
        same = ours == theirs if name == OWN else _minor(ours) == _minor(theirs)
        if not same or not ours:
            said.append(f"{name} {ours or 'of no told version'} where {whose} has {theirs or 'none told'}")
    return ", ".join(said)


def _minor(version: str) -> tuple[str, ...]:
    """Return the first two numbers; a build's mark, as in 2.8.0+cu128, does not count."""
    return tuple(version.partition("+")[0].split(".")[:2])
