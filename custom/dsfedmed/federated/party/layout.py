# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in a simulation, where all parties are on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.party.config import FILE_NAME
from dsfedmed.json_types import JsonObject
from dsfedmed.settings import Settings
from dsfedmed.store.files import write_atomic


@dataclass(frozen=True)
class SimulatedSites:
    """Where everything lies.

    Attributes:
        sites: folder with one folder per site.
        run: the run folder.
        bundles: folder of the bundles.
        teacher: the teacher's weights file, or None for a random start.
        device: torch device of server and sites.
        threads: CPU threads of each site's worker.
        server_threads: CPU threads of the server's heavy work.
        generator: Stable Diffusion folder of every party, or None for the embedded base.
        light_weights: start weights of the light network, or None for a random start.
        public: labelled folder of the server (SAM-Fed), or None.
        generator_base: the server's file of the embedded base, or None where the sites fit it together.
    """

    sites: Path
    run: Path
    bundles: Path
    teacher: Path | None = None
    device: str = "cpu"
    threads: int = 1
    server_threads: int = 1
    generator: Path | None = None
    light_weights: Path | None = None
    public: Path | None = None
    generator_base: Path | None = None


def site_names(folder: Path) -> list[str]:
    """Return the names of the site folders (those with a datalist), sorted.

    Raises:
        DataError: the folder does not exist or holds no site.
    """
    names = sorted(path.parent.name for path in folder.glob("*/datalist.json")) if folder.is_dir() else []
    if not names:
        fix = "Give a folder with one folder per site, or make some with `dsfedmed demo-sites`"
        raise DataError(folder, "holds no site folder with a datalist.json", fix)
    return names


def require_sites(folder: Path, asked: Sequence[str], where: str) -> list[str]:
    """Return the names of all sites, once every site that was asked for is among them.

    Raises:
        ConfigError: a site is asked for that is not there.
        DataError: as `site_names`.
    """
    names = site_names(folder)
    for site in asked:
        if site not in names:
            raise ConfigError(where, f"{site} is none of the sites", f"Sites: {', '.join(names)}")
    return names


def require_enough(settings: Settings, sites: Sequence[str]) -> None:
    """See that the unseen sites are there, and enough others to train.

    Raises:
        ConfigError: they are not.
    """
    unknown = sorted(set(settings.unseen) - set(sites))
    if unknown:
        raise ConfigError("--unseen", f"{', '.join(unknown)} is none of the sites", f"Sites: {', '.join(sites)}")
    if len(sites) - len(settings.unseen) < settings.min_sites:
        raise ConfigError("sites", f"fewer than min_sites ({settings.min_sites}) are left to train", "Add sites")


def write_party_config(local: Path, layout: SimulatedSites) -> None:
    """Write ``dsfedmed.yaml`` for all simulated parties at once into the folder ``local``."""
    text = yaml.safe_dump(_party_config(layout), sort_keys=False)
    write_atomic(local / FILE_NAME, lambda path: path.write_text(text, encoding="utf-8"))


def _party_config(layout: SimulatedSites) -> JsonObject:
    config: JsonObject = {
        "data": f"{layout.sites.resolve()}/{{site}}",
        "output": f"{layout.run.resolve()}/sites/{{site}}",
        "bundles": str(layout.bundles.resolve()),
        "device": layout.device,
        "threads": layout.threads,
        "server_threads": layout.server_threads,
        "run": str(layout.run.resolve()),
    }
    for name in ("teacher", "generator", "light_weights", "public", "generator_base"):
        path: Path | None = getattr(layout, name)
        if path is not None:
            config[name] = str(path.resolve())
    return config
