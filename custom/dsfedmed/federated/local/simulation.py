# SPDX-License-Identifier: Apache-2.0
"""Run a method on site folders without NVFlare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dsfedmed.errors import ConfigError
from dsfedmed.federated.local.in_process import InProcessWorker
from dsfedmed.federated.local.leaving import LeavingSite, note_leaving
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.local.transport import LocalTransport
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import SimulatedSites, require_enough, site_names, write_party_config
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.federated.site.worker_process import WorkerProcess
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json

FOLDER = "local"
"""Below the run folder: the simulated parties' configuration."""


def simulate_locally(
    method: str,
    settings: Settings,
    layout: SimulatedSites,
    processes: bool = False,
    leaving: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """Run a method on all sites of ``layout``; return the verdict of its record.

    Args:
        method: a key of `dsfedmed.methods.METHODS`.
        settings: of the run.
        layout: where everything lies.
        processes: give every site a process of its own, and let the sites work side by side; otherwise they are worked
            off one after another in this process. Results are the same to the last bit.
        leaving: sites that leave, and after how many rounds of a training.

    Raises:
        ConfigError: an unseen site is not among the sites, too few are left to train, or a run that is there has other
            sites that leave.
    """
    names = site_names(layout.sites)
    require_enough(settings, names)
    local = layout.run / FOLDER
    local.mkdir(parents=True, exist_ok=True)
    write_party_config(local, layout)
    note_leaving(layout.run, leaving)
    workflow = workflow_of(method, settings)
    sites = {name: _site(name, local, run_key(settings, method), processes) for name in names}
    sites |= {name: LeavingSite(sites[name], rounds) for name, rounds in leaving.items()}
    workflow.run(LocalTransport(local, sites, processes))
    return str(read_json(layout.run / FILE_NAME)["verdict"])


def _site(name: str, local: Path, key: str, processes: bool) -> LocalSite:
    config = load_party_config(local, name, key)
    if config.output is None:
        raise ConfigError(local, "names no `output` folder", "Write the configuration with `write_party_config`")
    config.output.mkdir(parents=True, exist_ok=True)
    if processes:
        return LocalSite(name, config.output, WorkerProcess(name, local, config.output, config.threads))
    return LocalSite(name, config.output, InProcessWorker(name, config, config.output))
