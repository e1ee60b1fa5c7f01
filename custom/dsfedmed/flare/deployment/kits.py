# SPDX-License-Identifier: Apache-2.0
"""Startup kits: the folder ``local`` of a party says what may run there and where its data lie."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dsfedmed.documents import read_json
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import FILE_NAME
from dsfedmed.flare.workspace import SERVER_CLASSES, SITE_CLASSES, WHOLE_PACKAGE
from dsfedmed.store.files import write_json, write_text
from dsfedmed.store.json_types import Json

RESOURCES = "resources.json"
HEARTBEAT_TIMEOUT_S = 180


def is_server_kit(kit: Path) -> bool:
    """Tell a server's startup kit from a site's.

    Raises:
        ConfigError: it is neither.
    """
    startup = kit / "startup"
    if (startup / "fed_server.json").exists():
        return True
    if (startup / "fed_client.json").exists():
        return False
    raise ConfigError(kit, "is no startup kit of a server or site", "Give the folder that NVFlare's provisioning made")


def allow_package(kit: Path, storage: Path | None = None) -> None:
    """Let jobs name the components of the installed package, and keep NVFlare's own storage in a place of its own.

    Nothing else is added to the kit's list of allowed classes, and code inside jobs stays forbidden where the kit's
    ``authorization.json`` says so. An entry for the whole package, which earlier versions wrote, is taken out.

    Args:
        kit: a server's or site's startup kit.
        storage: the server's folder for jobs and snapshots; two servers on one machine must not share
            ``/tmp/nvflare``, which is NVFlare's default and does not outlive a reboot.

    Raises:
        ConfigError: the kit holds no resources file, or is neither a server's nor a site's.
    """
    local = kit / "local"
    source = local / RESOURCES if (local / RESOURCES).exists() else local / f"{RESOURCES}.default"
    if not source.exists():
        raise ConfigError(local, f"holds no {RESOURCES}", "Give the folder of a startup kit")
    try:
        content: dict[str, Any] = read_json(source)
    except (OSError, ValueError) as error:
        raise ConfigError(source, f"cannot be read ({error})", "Make the startup kits again") from error
    own = SERVER_CLASSES if is_server_kit(kit) else SITE_CLASSES
    before = [entry for entry in content.get("class_allow_list", []) if entry != WHOLE_PACKAGE]
    content["class_allow_list"] = list(dict.fromkeys([*before, *own]))
    for server in content.get("servers", []):
        server["heart_beat_timeout"] = HEARTBEAT_TIMEOUT_S
    if storage is not None:
        content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"] = str(storage / "snapshots")
        for component in content["components"]:
            if component["id"] == "job_manager":
                component["args"]["uri_root"] = str(storage / "jobs")
    write_json(local / RESOURCES, content)


def configure_party(kit: Path, values: Mapping[str, Path | Json]) -> None:
    """Write the party's ``dsfedmed.yaml``; paths in ``values`` are written absolute."""
    ready = {key: _plain(value) for key, value in values.items() if value is not None}
    write_text(kit / "local" / FILE_NAME, yaml.safe_dump(ready, sort_keys=False))


def copy_policies(source: Path, kit: Path) -> None:
    """Lay a site's own policy files (``authorization.json``, ``privacy.json`` and others) over the kit's ``local``."""
    shutil.copytree(source, kit / "local", dirs_exist_ok=True)


def _plain(value: Path | Json) -> Json:
    return str(value.expanduser().resolve()) if isinstance(value, Path) else value
