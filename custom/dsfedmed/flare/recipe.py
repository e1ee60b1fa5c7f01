# SPDX-License-Identifier: Apache-2.0
"""NVFlare jobs of this package: configuration only, for sites that have the package installed."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nvflare.job_config.api import FedJob
from nvflare.job_config.defs import FilterType
from nvflare.recipe.spec import Recipe

from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.controller import FederatedController
from dsfedmed.flare.executor import SiteExecutor
from dsfedmed.flare.filters import PackUpdates
from dsfedmed.flare.receivers.choice import TENSORBOARD, receiver
from dsfedmed.flare.task_signal import TaskSignal
from dsfedmed.methods import METHODS
from dsfedmed.settings import Settings

TASK_PATTERN = ["dsf_*"]
TASK_REQUEST_SECONDS = 0.2


class MethodRecipe(Recipe):  # type: ignore[misc]
    """The job of a method for any environment: simulator, POC or provisioned sites.

    Args:
        settings: the run's settings; they become the arguments of the server's workflow.
        method: a key of `dsfedmed.methods.METHODS`.
        name: of the job; the method's by default.
        gpus: GPUs that every party is asked for; 0 asks for none, and the site's own ``device`` decides.
        tracking: what receives the curves (`dsfedmed.flare.receivers.choice.receiver`).
    """

    def __init__(
        self, settings: Settings, method: str = "dsfedmed", name: str = "", gpus: int = 0, tracking: str = TENSORBOARD
    ) -> None:
        job = FedJob(name=name or method, min_clients=settings.min_sites)
        if gpus:
            job.job.add_resource_spec("@default", {"num_of_gpus": gpus})
        job.to_server(FederatedController(method, settings.to_dict()), id=method)
        job.to_server(receiver(tracking, method), id=tracking)
        job.to_server({"server": {"task_request_interval": TASK_REQUEST_SECONDS}})
        job.to_clients(SiteExecutor(run_key(settings, method)), tasks=TASK_PATTERN)
        for task in update_tasks(method):  # one by one: NVFlare writes a list of tasks in no fixed order
            job.to_clients(PackUpdates(), tasks=[task], filter_type=FilterType.TASK_RESULT)
        job.to_clients(TaskSignal(), id="task_signal")
        job.set_app_packages(["dsfedmed"])
        self.job = job
        super().__init__(job)


def export_job(
    settings: Settings,
    folder: Path,
    name: str = "",
    gpus: int = 0,
    method: str = "dsfedmed",
    tracking: str = TENSORBOARD,
) -> Path:
    """Write the job as ``folder/name`` (the method's name by default) and return that path, for NVFlare's own tools.

    Only ``meta.json`` and ``app`` are written or replaced, so that the folder may hold a script and presets besides.
    """
    name = name or method
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        MethodRecipe(settings, method, name, gpus, tracking).job.export_job(temporary)
        shutil.rmtree(target / "app", ignore_errors=True)
        shutil.copytree(Path(temporary) / name, target, dirs_exist_ok=True)
    return target


def update_tasks(method: str = "dsfedmed") -> list[str]:
    """Return the names of a method's tasks whose reply is packed for the wire, in the order of their entries."""
    packed = METHODS[method].load().UPDATES
    return [task.name for task in TASKS.values() if task in packed]


def job_files(folder: Path) -> dict[str, Any]:
    """Return the parsed configuration files of a job folder by relative path, to compare two jobs."""
    paths = [folder / "meta.json", *sorted((folder / "app" / "config").glob("*.json"))]
    return {str(path.relative_to(folder)): json.loads(path.read_text(encoding="utf-8")) for path in paths}
