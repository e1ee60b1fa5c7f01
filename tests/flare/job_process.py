# SPDX-License-Identifier: Apache-2.0
"""What NVFlare's process of a job does at a site, up to the point where it would need a server."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.workspace import Workspace
from nvflare.private.fed.client.client_app_runner import ClientAppRunner

ROOT = Path(__file__).resolve().parents[2]


class NoRunner(Exception):
    """The process got as far as making what runs the job."""


class Process(ClientAppRunner):
    """NVFlare's job process of a site, up to the policy; what comes after needs a server."""

    def create_run_manager(self, *_: object) -> None:
        raise NoRunner


def start_job(site: Workspace, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Build the site's part of a job, then read the site's policy.

    Args:
        site: the site's kit.
        change: what the job's author changed in its configuration of the sites.

    Raises:
        NoRunner: all of it was taken.
    """
    app = Path(site.root_dir) / "job-1" / "app_hospital_a"
    shutil.copytree(ROOT / "jobs" / "dsfedmed" / "app", app)
    config = json.loads((app / "config" / "config_fed_client.json").read_text())
    change(config)
    (app / "config" / "config_fed_client.json").write_text(json.dumps(config))
    args = Namespace(
        workspace=site.root_dir,
        client_name="hospital_a",
        job_id="job-1",
        client_config="config/config_fed_client.json",
        sp_scheme="grpc",
        sp_target="localhost:8002",
        set=[],
    )
    (Path(site.root_dir) / "job-1" / "meta.json").write_text(json.dumps({"job_id": "job-1", "name": "dsfedmed"}))
    Process().create_client_runner(str(app), args, "", Namespace(), secure_train=False)
