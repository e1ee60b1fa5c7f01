# SPDX-License-Identifier: Apache-2.0
"""Provisioned federations: one startup kit for every participant of a ``project.yml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

from dsfedmed.documents import read_yaml
from dsfedmed.errors import ConfigError
from dsfedmed.flare.deployment.command import NVFlareCommand

PROVISION_S = 120


class Participant(TypedDict, total=False):
    """What is read of one participant, and what is set for a server on this machine."""

    name: str
    type: str
    default_host: str
    fed_learn_port: int


class Project(TypedDict):
    """What is read of NVFlare's ``project.yml``; the file says more, which is kept as it is."""

    name: str
    participants: list[Participant]


def read_project(path: Path) -> Project:
    """Read a project file.

    Raises:
        ConfigError: it cannot be read, or names no participants.
    """
    try:
        project: Any = read_yaml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({error})", "Give NVFlare's project.yml") from error
    if not isinstance(project, dict) or not isinstance(project.get("participants"), list):
        raise ConfigError(path, "names no participants", "Give NVFlare's project.yml")
    return cast(Project, project)


def participants(project: Project, kind: str) -> list[str]:
    """Return the names of the participants of a kind: server, client or admin."""
    return [str(entry["name"]) for entry in project["participants"] if entry["type"] == kind]


def on_this_machine(project: Project, port: int) -> Project:
    """Return the project with its server on localhost at ``port``: the same participants, roles and certificates."""
    here: Participant = {"default_host": "localhost", "fed_learn_port": port}
    moved: list[Participant] = [
        {**entry, **here} if entry["type"] == "server" else {**entry} for entry in project["participants"]
    ]
    return {**project, "participants": moved}


def provision(project: Path, workspace: Path, command: NVFlareCommand) -> Path:
    """Make the startup kits; return the folder that holds one folder per participant.

    Raises:
        DeploymentError: NVFlare refuses the project.
    """
    name = str(read_project(project)["name"])
    command.call("provision", "-p", str(project), "-w", str(workspace), "--force", timeout=PROVISION_S)
    return sorted((workspace / name).glob("prod_*"))[-1]
