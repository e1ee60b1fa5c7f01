# SPDX-License-Identifier: Apache-2.0
"""Prepare a simulator workspace: what a hospital's installation holds, for all simulated sites at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.party.config import FILE_NAME
from dsfedmed.store.files import write_atomic, write_json

PACKAGE_PREFIX = "dsfedmed."


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


def prepare_workspace(workspace: Path, layout: SimulatedSites, also_allowed: Sequence[str] = ()) -> None:
    """Write ``local/`` of a simulator workspace; NVFlare copies it to every simulated site.

    It holds the class allow-list (NVFlare's own classes and this package, no code from jobs), the site configuration
    and a log configuration that leaves the console to the progress lines; full logs go to each site's ``log.txt``.
    ``also_allowed`` are further class prefixes, for components that are no part of the product.
    """
    local = workspace / "local"
    allowed = [*DEFAULT_CLASS_ALLOW_LIST, PACKAGE_PREFIX, *also_allowed]
    write_json(local / "resources.json", {"format_version": 2, "class_allow_list": allowed})
    write_json(local / "log_config.json", _logging())
    text = yaml.safe_dump(_site_config(layout), sort_keys=False)
    write_atomic(local / FILE_NAME, lambda path: path.write_text(text, encoding="utf-8"))


def _site_config(layout: SimulatedSites) -> dict[str, Any]:
    config: dict[str, Any] = {
        "data": f"{layout.sites.resolve()}/{{site}}",
        "output": f"{layout.run.resolve()}/sites/{{site}}",
        "bundles": str(layout.bundles.resolve()),
        "device": layout.device,
        "threads": layout.threads,
        "server_threads": layout.server_threads,
        "run": str(layout.run.resolve()),
    }
    for name in ("teacher", "generator", "light_weights", "public"):
        path: Path | None = getattr(layout, name)
        if path is not None:
            config[name] = str(path.resolve())
    return config


def _logging() -> dict[str, Any]:
    """NVFlare's own log files, and a console that shows progress and errors only."""
    file = {"class": "logging.handlers.RotatingFileHandler", "mode": "a", "maxBytes": 20971520, "backupCount": 3}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "full": {"format": "%(asctime)s - %(name)s - %(levelname)s - %(message)s"},
            "plain": {"format": "%(message)s"},
        },
        "handlers": {
            "progress": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"},
            "console": {"class": "logging.StreamHandler", "level": "CRITICAL", "formatter": "full"},
            "logFileHandler": {**file, "level": "INFO", "formatter": "full", "filename": "log.txt"},
            "errorFileHandler": {**file, "level": "ERROR", "formatter": "full", "filename": "error_log.txt"},
        },
        "loggers": {
            "root": {"level": "INFO", "handlers": ["console", "logFileHandler", "errorFileHandler"]},
            "dsfedmed.progress": {"level": "INFO", "handlers": ["progress"], "propagate": True},
        },
    }
