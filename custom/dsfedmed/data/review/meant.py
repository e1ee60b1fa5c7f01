# SPDX-License-Identifier: Apache-2.0
"""Which folder was probably meant where the one that was given is a level too high or too low."""

from __future__ import annotations

import os
from pathlib import Path

from dsfedmed.data.datalist import FILE_NAME
from dsfedmed.data.files.listing import list_images
from dsfedmed.data.review.pair_names import quoted
from dsfedmed.errors import DataError

MOST_SHOWN = 3
MADE = "Give a folder with one folder per site, or make some with `dsfedmed demo-sites`"


def sites_in(folder: Path) -> list[str]:
    """Return the names of the folders in ``folder`` that are sites, sorted."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE_NAME}"))


def require_site(folder: Path) -> None:
    """See that a folder is not one of several sites, where a single site is to be named.

    Raises:
        DataError: it is; its sites are named.
    """
    if not os.path.isdir(folder) or os.path.lexists(folder / FILE_NAME):  # a name that no disk takes is said elsewhere
        return
    sites = sites_in(folder)
    if sites:
        fix = f"Name one site or several: `dsfedmed check-site {_named(folder, sites)}`"
        raise DataError(folder, "is no site, but a folder of sites", fix)


def no_sites(folder: Path) -> DataError:
    """Return the error of a folder that should hold sites and holds none, with what was probably meant."""
    if not folder.is_dir():
        return DataError(folder, "there is no such folder", MADE)
    if (folder / FILE_NAME).is_file():
        above = os.path.normpath(folder / "..")
        return DataError(folder, "is a site itself", f"Give the folder that holds the sites: {quoted(above)}")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    fix = MADE
    holder = next((path for path in inside if sites_in(path)), None)
    raw = [path.name for path in inside if _has_images(path)]
    if holder is not None:
        fix = f"Its folder {holder.name} holds sites: give {quoted(str(holder))}"
    elif raw:
        fix = f"Make one for each: `dsfedmed build-datalist {quoted(str(folder / raw[0]))}`" + (
            f", then {_list(raw[1:])}" if raw[1:] else ""
        )
    return DataError(folder, f"holds no site folder with a {FILE_NAME}", fix)


def without_list(folder: Path) -> list[str]:
    """Return the names of the folders beside the sites of ``folder`` that hold images and no datalist, sorted."""
    sites = set(sites_in(folder))
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path.name for path in inside if path.name not in sites and _has_images(path)]


def _has_images(place: Path) -> bool:
    """Tell a folder that holds image files, or folders with such files; one that may not be read is none."""
    if not os.access(place, os.R_OK | os.X_OK):
        return False
    folders = [path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return any(list_images(path).images for path in (place, *folders))


def _named(folder: Path, names: list[str]) -> str:
    more = " ..." if len(names) > MOST_SHOWN else ""
    return " ".join(quoted(str(folder / name)) for name in names[:MOST_SHOWN]) + more


def _list(names: list[str]) -> str:
    return ", ".join(names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "")
