# SPDX-License-Identifier: Apache-2.0
"""Run a workflow over dummy sites in NVFlare's simulator, where the main process is the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.job_config.api import FedJob
from nvflare.job_config.defs import FilterType
from nvflare.recipe.sim_env import SimEnv

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.flare.controller import WorkflowController
from dsfedmed.flare.filters import PackUpdates
from dsfedmed.flare.task_signal import TaskSignal
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.store.files import read_json
from dsfedmed_benchmarks.dummy_sites import CLASS_PREFIX


@dataclass(frozen=True)
class DummyFederation:
    """Who takes part.

    Attributes:
        controller: the server's side.
        executor: of every site.
        tasks: names, or patterns of names, of the tasks that it executes.
        updates: names of the tasks whose reply is packed for the wire.
    """

    controller: WorkflowController
    executor: Executor
    tasks: Sequence[str]
    updates: Sequence[str] = ()


def simulate(federation: DummyFederation, sites: Sequence[str], layout: SimulatedSites) -> dict[str, Any]:
    """Run the federation and return its record.

    Raises:
        DSFedMedError: the run did not complete.
    """
    name = federation.controller.workflow.METHOD
    workspace = layout.run / "nvflare" / name
    prepare_workspace(workspace, layout, (CLASS_PREFIX,))
    environment = SimEnv(
        clients=list(sites),
        num_threads=len(sites),
        workspace_root=str(workspace.parent.resolve()),
        log_config=str((workspace / "local" / "log_config.json").resolve()),
    )
    try:
        environment.deploy(_job(federation, name, len(sites)))
    except RuntimeError as error:  # NVFlare says only that it failed; the run's own record says why
        raise _failed(layout.run) from error
    record: dict[str, Any] = read_json(layout.run / FILE_NAME)
    if record["verdict"] != "complete":
        raise _failed(layout.run)
    return record


def _failed(run: Path) -> DSFedMedError:
    file = run / FILE_NAME
    verdict = read_json(file)["verdict"] if file.exists() else "no record: it did not start"
    return DSFedMedError(run, f"the federation ended with {verdict}", "Read the log files there")


def _job(federation: DummyFederation, name: str, sites: int) -> FedJob:
    job = FedJob(name=name, min_clients=sites)
    job.to_server(federation.controller, id=name)
    job.to_clients(federation.executor, tasks=list(federation.tasks))
    for task in federation.updates:
        job.to_clients(PackUpdates(), tasks=[task], filter_type=FilterType.TASK_RESULT)
    job.to_clients(TaskSignal(), id="task_signal")
    job.set_app_packages(["dsfedmed", "dsfedmed_benchmarks"])
    return job
