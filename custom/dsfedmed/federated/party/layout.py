# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in a simulation, where all parties are on one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from dsfedmed.data.review.meant import no_sites, sites_in
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.party.config import FILE_NAME
from dsfedmed.settings import Settings
from dsfedmed.site_names import own_name, plain_name
from dsfedmed.store.files import write_atomic
from dsfedmed.store.json_types import JsonObject


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
        report_cases: show pictures and names of the sites' cases in the report.
        send_amplitudes: the sites permit that amplitudes of their images leave them (FedDG).
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
    report_cases: bool = True
    send_amplitudes: bool = False


def site_folders(folder: Path) -> dict[str, str]:
    """Return the names of the site folders (those with a datalist) by the names under which the sites travel, sorted.

    Raises:
        DataError: the folder does not exist or holds no site (what was probably meant is named), a name cannot be
            shown, or two are the same to a reader.
    """
    names = sites_in(folder)
    if not names:
        raise no_sites(folder)
    found: dict[str, str] = {}
    for name in names:
        if not name.isprintable():
            raise DataError(folder, f"the site's name {name!r} cannot be shown", "Rename that folder")
        plain = plain_name(name)
        if plain in found:
            reason = f"two sites are called {own_name(name)!r}, which travel under one name"
            raise DataError(folder, reason, "Rename one of the two folders")
        found[plain] = name
    return dict(sorted(found.items()))


def site_names(folder: Path) -> list[str]:
    """Return the names under which the sites of a folder travel (`dsfedmed.site_names.plain_name`), sorted.

    Raises:
        DataError: as `site_folders`.
    """
    return list(site_folders(folder))


def own_names(folders: Mapping[str, str]) -> dict[str, str]:
    """Return the own names that people are shown by the names that travel, of the sites where the two differ."""
    return {plain: own_name(name) for plain, name in folders.items() if own_name(name) != plain}


def plain_site(folders: Mapping[str, str], name: str, where: str) -> str:
    """Return the name under which the site travels that somebody calls ``name``.

    Args:
        folders: what `site_folders` returns.
        name: its own name (composed or decomposed), or the one that travels.
        where: who calls it so, for the error.

    Raises:
        ConfigError: there is no such site.
    """
    plain = name if name in folders else plain_name(name)
    if plain not in folders:
        known = ", ".join(own_name(folder) for folder in folders.values())
        raise ConfigError(where, f"{name} is none of the sites", f"Sites: {known}")
    return plain


def with_plain_names(settings: Settings, folders: Mapping[str, str]) -> Settings:
    """Return settings whose sites go by the names that travel.

    Sites are named in ``unseen``, and in SAM-Fed's ``method.label_site`` and ``method.site_bundles``.

    Raises:
        ConfigError: one of them is none of the sites.
    """
    unseen = tuple(plain_site(folders, site, "--unseen") for site in settings.unseen)
    method = dict(settings.method)
    if isinstance(method.get("label_site"), str) and method["label_site"]:
        method["label_site"] = plain_site(folders, method["label_site"], "method.label_site")
    if isinstance(method.get("site_bundles"), dict):
        where = "method.site_bundles"
        bundles = method["site_bundles"].items()
        method["site_bundles"] = {plain_site(folders, str(site), where): bundle for site, bundle in bundles}
    return replace(settings, unseen=unseen, method=method)


def require_sites(folder: Path, asked: Sequence[str], where: str) -> list[str]:
    """Return the names of all sites, once every site that was asked for is among them.

    Raises:
        ConfigError: a site is asked for that is not there.
        DataError: as `site_names`.
    """
    folders = site_folders(folder)
    for site in asked:
        plain_site(folders, site, where)
    return list(folders)


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
        "data": f"{layout.sites.resolve()}/{{folder}}",
        "output": f"{layout.run.resolve()}/sites/{{site}}",
        "bundles": str(layout.bundles.resolve()),
        "device": layout.device,
        "threads": layout.threads,
        "server_threads": layout.server_threads,
        "run": str(layout.run.resolve()),
        "report_cases": layout.report_cases,
        **({"send_amplitudes": True} if layout.send_amplitudes else {}),
    }
    for name in ("teacher", "generator", "light_weights", "public", "generator_base"):
        path: Path | None = getattr(layout, name)
        if path is not None:
            config[name] = str(path.resolve())
    renamed: JsonObject = {plain_name(name): name for name in sites_in(layout.sites) if plain_name(name) != name}
    return {**config, "site_folders": renamed} if renamed else config
