# SPDX-License-Identifier: Apache-2.0
"""What a run is given beside its sites: files, bundles and a device, all looked at before anything is begun."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsfedmed.bundles.installed import installed_bundle
from dsfedmed.devices import require_device
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, require_enough
from dsfedmed.federated.server.given_base import check_given_base
from dsfedmed.federated.server.plan import check_light_settings
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.options import require
from dsfedmed.settings import Settings

FILES = {"teacher": "--teacher", "light_weights": "--light-weights", "generator_base": "--generator-base"}
"""Files of weights, by their name in `SimulatedSites`, with the option that gives them."""
FOLDERS = {"generator": "--generator", "public": "--public"}


def require_inputs(workflow: FederatedWorkflow, layout: SimulatedSites, folders: Mapping[str, str]) -> None:
    """See that everything that the run is given is there, before any image is read or process begun.

    Args:
        workflow: of the run, with its settings.
        layout: where everything lies.
        folders: the sites' folders by the names that travel.

    Raises:
        ConfigError: a file, folder or bundle is not there, the device is none that this machine has, too few sites are
            left to train, or the run folder lies below a site's.
    """
    settings = workflow.settings
    if workflow.GENERATES:
        check_given_base(settings, layout.generator_base)
    check_light_settings(settings, layout.bundles)
    _require_paths(layout)
    _require_bundles(settings, layout.bundles)
    if workflow.PUBLIC:
        fix = "Give --public FOLDER, or --label-site SITE"
        require(layout.public is not None, "--public", "is not given, and the method needs public labels", fix)
    require_device(layout.device)
    require_enough(settings, list(folders))
    for name in folders.values():
        _require_outside(layout, layout.sites / name)


def _require_paths(layout: SimulatedSites) -> None:
    for name, option in FILES.items():
        path: Path | None = getattr(layout, name)
        if path is not None and not path.is_file():
            raise ConfigError(f"{option} {path}", "no such file", "Correct the path, or leave the option out")
    for name, option in FOLDERS.items():
        folder: Path | None = getattr(layout, name)
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{option} {folder}", "no such folder", "Correct the path, or leave the option out")


def _require_bundles(settings: Settings, bundles: Path) -> None:
    installed_bundle(bundles, settings.light.bundle, "light.bundle")
    named = settings.method.get("site_bundles")
    for site, bundle in named.items() if isinstance(named, dict) else ():
        installed_bundle(bundles, bundle, f"method.site_bundles.{site}")


def _require_outside(layout: SimulatedSites, site: Path) -> None:
    """See that nothing of the run would be written below a site's folder."""
    site, run = site.resolve(), layout.run.resolve()
    inside = run == site or site in run.parents or (run / "sites") in (site, *site.parents)
    fix = "Choose an --out that lies beside the sites' folders"
    require(not inside, f"--out {layout.run}", f"would write into the site folder {site.name}", fix)
