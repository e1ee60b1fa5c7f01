# SPDX-License-Identifier: Apache-2.0
"""A method's whole run over NVFlare, with a recorder at every site behind every other filter: what left, in bytes.

An `EgressGuard` stands before the job's own filter, as a hospital's policy puts it: it changes nothing, so the run is
still that of the local transport. NVFlare's simulator reads no ``privacy.json``, so the job names the guard here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.recipe import export_job, update_tasks
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from tests.runs.commands import BUNDLES, simulate_folder
from tests.runs.recording import Recording

Component = dict[str, Any]
GUARD: Component = {"path": "dsfedmed.flare.privacy.egress_guard.EgressGuard", "args": {"masks": "deformed"}}
CODE = Path(__file__).parent


def client_config(job: Path) -> dict[str, Any]:
    """Read what a job starts at a site."""
    return dict(json.loads((job / "app" / "config" / "config_fed_client.json").read_text()))


def ship(job: Path, code: str, config: dict[str, Any]) -> None:
    """Lay a module of this folder into a job as the job's own code, and write what it starts at a site."""
    (job / "app" / "custom").mkdir()
    shutil.copy(CODE / code, job / "app" / "custom" / code)
    (job / "app" / "config" / "config_fed_client.json").write_text(json.dumps(config))


def add_filters(config: dict[str, Any], before: Sequence[Component], behind: Sequence[Component] = ()) -> None:
    """Let every reply pass filters before and behind the job's own."""
    chains = config["task_result_filters"]
    for chain in chains:
        chain["filters"] = [*before, *chain["filters"], *behind]
    others = [task for task in TASKS if task not in update_tasks()]
    chains.append({"tasks": others, "filters": [*before, *behind]})


def add_recorder(job: Path, sent: Path) -> None:
    """Let every site write down what leaves it, into the folder ``sent``."""
    config, recorder = client_config(job), {"path": "recorder.Recorder", "args": {"folder": str(sent)}}
    config["components"].append({"id": "recorder", **recorder})
    add_filters(config, [GUARD], [recorder])
    ship(job, "recorder.py", config)


def record_run(method: str, settings: Settings, sites: Path, folder: Path, **paths: Any) -> Recording:
    """Run a method's exported job folder by NVFlare's own simulator command, and record what leaves."""
    job = export_job(settings, folder / "jobs", method=method)
    add_recorder(job, folder / "sent")
    prepare_workspace(folder / "ws", replace(SimulatedSites(sites, folder / "run", BUNDLES), **paths))
    code, output = simulate_folder(job, folder / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    assert read_json(folder / "run" / "record.json")["verdict"] == "complete", output[-3000:]
    return Recording(folder / "sent", folder / "run", sites, output)
