# SPDX-License-Identifier: Apache-2.0
"""NVFlare's POC mode: server and sites as separate processes on one machine, with real certificates and mTLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, site_folders
from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.deployment.federation import Federation
from dsfedmed.flare.deployment.kits import allow_package, configure_party
from dsfedmed.flare.deployment.parties import party_processes, stop_party
from dsfedmed.store.files import write_text
from dsfedmed.store.json_types import Json

PROJECT = "dsfedmed_poc"
SERVER = "server"
ADMIN = "admin@poc.dsfedmed"
LEAD = "lead@poc.dsfedmed"
PORT = 8002
READY_S = 120


@dataclass(frozen=True)
class Poc:
    """A POC federation under one folder.

    Attributes:
        work: folder of everything: NVFlare's workspace, the parties' own folders, the results.
    """

    work: Path

    @property
    def workspace(self) -> Path:
        """NVFlare's POC workspace."""
        return self.work.resolve() / "nvflare"

    @property
    def command(self) -> NVFlareCommand:
        """NVFlare's command line for this federation, with a home of its own."""
        return NVFlareCommand(self.work.resolve() / "home", {"NVFLARE_POC_WORKSPACE": str(self.workspace)})

    @property
    def results(self) -> Path:
        """Where `dsfedmed poc fetch` puts the results."""
        return self.work / "results"

    def kit(self, name: str) -> Path:
        """Return the startup kit of a party or user.

        Raises:
            ConfigError: nothing is prepared here, or there is no such participant.
        """
        kit = self.workspace / PROJECT / "prod_00" / name
        if not kit.is_dir():
            raise ConfigError(kit, "does not exist", "Prepare the federation with `dsfedmed poc prepare`")
        return kit

    def run_folder(self, key: str) -> Path:
        """Return the server's folder of the run with this key."""
        return self.work.resolve() / SERVER / key

    def sites(self) -> list[str]:
        """Return the names of the prepared sites."""
        project = yaml.safe_load((self.kit(SERVER).parents[2] / "project.yml").read_text(encoding="utf-8"))
        return [entry["name"] for entry in project["participants"] if entry["type"] == "client"]

    def user(self, name: str = LEAD) -> Federation:
        """Return the federation as a user sees it; the lead researcher by default."""
        return Federation(self.command, self.kit(name))

    def prepare(self, layout: SimulatedSites, port: int = PORT) -> list[str]:
        """Make certificates and startup kits, and set up every party as its owner would.

        Args:
            layout: where data, bundles and weights lie; its run folder is not used.
            port: of the server; NVFlare's admin connections use the same.

        Returns:
            The names of the sites.
        """
        folders = site_folders(layout.sites)
        names = list(folders)
        project = self.work.resolve() / "project.yml"
        write_text(project, yaml.safe_dump(poc_project(names, port), sort_keys=False))
        self.command.call("poc", "prepare", "-i", str(project), "--force")
        allow_package(self.kit(SERVER))
        renamed: dict[str, Json] = {name: folder for name, folder in folders.items() if folder != name}
        server = _server_values(self.work.resolve(), layout)
        configure_party(self.kit(SERVER), {**server, "site_folders": renamed or None})
        for name in names:
            allow_package(self.kit(name))
            data = layout.sites / folders[name]
            configure_party(self.kit(name), {"data": data, **_site_values(self.work.resolve(), layout, name)})
        return names

    def running(self) -> list[int]:
        """Return the numbers of the parties' processes that run; none where nothing is prepared."""
        if not (self.workspace / PROJECT / "prod_00" / SERVER).is_dir():
            return []
        kits = [self.kit(name) for name in (SERVER, *self.sites())]
        return sorted(process.pid for kit in kits for process in party_processes(kit))

    def start(self, only: str | None = None) -> None:
        """Start server and sites (or one of them) and wait until the server answers and the sites are connected.

        NVFlare's own waiting was seen to hang with everybody connected, so it is told not to wait.
        """
        chosen = ["-p", only] if only else []
        self.command.call("poc", "start", "--no-wait", *chosen)
        sites = self.sites() if only is None else [name for name in self.sites() if name == only]
        self.user().wait_for(sites, READY_S)

    def stop(self) -> None:
        """Stop whatever of this federation still runs.

        After the server was killed, NVFlare's own command refuses, for the server counts the lost job as running; the
        parties are then told one by one.
        """
        try:
            self.command.call("poc", "stop", timeout=180)
        except DeploymentError:
            for name in (SERVER, *self.sites()):
                stop_party(self.kit(name))


def poc_project(sites: list[str], port: int) -> dict[str, Any]:
    """Return the project that ``nvflare poc prepare -i`` takes; the roles are those of a real federation."""
    organisation = "poc"
    server = {"name": SERVER, "type": "server", "org": organisation, "default_host": "localhost"}
    users = {ADMIN: "project_admin", LEAD: "lead"}
    return {
        "api_version": 3,
        "name": PROJECT,
        "description": "DSFedMed on one machine",
        "participants": [
            {**server, "fed_learn_port": port},
            *({"name": name, "type": "admin", "org": organisation, "role": role} for name, role in users.items()),
            *({"name": name, "type": "client", "org": organisation} for name in sites),
        ],
        "builders": [
            {
                "path": "nvflare.lighter.impl.workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml", "aws_template.yml", "azure_template.yml"]},
            },
            {"path": "nvflare.lighter.impl.static_file.StaticFileBuilder", "args": {"config_folder": "config"}},
            {"path": "nvflare.lighter.impl.cert.CertBuilder"},
            {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
        ],
    }


def _server_values(work: Path, layout: SimulatedSites) -> dict[str, Path | Json]:
    return {
        "run": work / SERVER / "{run}",
        "bundles": layout.bundles,
        "teacher": layout.teacher,
        "generator": layout.generator,
        "light_weights": layout.light_weights,
        "public": layout.public,
        "generator_base": layout.generator_base,
        "device": layout.device,
        "server_threads": layout.server_threads,
    }


def _site_values(work: Path, layout: SimulatedSites, name: str) -> dict[str, Path | Json]:
    return {
        "output": work / "sites" / name / "{run}",
        "bundles": layout.bundles,
        "teacher": layout.teacher,
        "generator": layout.generator,
        "device": layout.device,
        "threads": layout.threads,
    }
