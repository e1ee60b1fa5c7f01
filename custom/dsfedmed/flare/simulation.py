# SPDX-License-Identifier: Apache-2.0
"""Run a job in NVFlare's simulator and judge it by the run's own record."""

from __future__ import annotations

from pathlib import Path

from nvflare.recipe.sim_env import SimEnv

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import require_enough
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.flare.recipe import MethodRecipe
from dsfedmed.reporting.report import build_report
from dsfedmed.reporting.terminal import summary_text
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json


def simulate(settings: Settings, sites: list[str], out: Path, method: str = "dsfedmed") -> int:
    """Simulate all ``sites``, each in a process of its own; print the summary; return 0 for a complete run.

    Raises:
        ConfigError: an unseen site is not among the sites, too few are left to train, or NVFlare refused the job.
    """
    require_enough(settings, sites)
    workspace = out / "nvflare"
    environment = SimEnv(
        clients=sites,
        num_threads=len(sites),
        workspace_root=str(workspace.resolve()),
        log_config=str((workspace / method / "local" / "log_config.json").resolve()),
    )
    recipe = MethodRecipe(settings, method)
    try:
        environment.deploy(recipe.job)
    except RuntimeError as error:  # NVFlare says only that it failed; the run's own record says why
        if not (out / FILE_NAME).exists():
            raise ConfigError(
                workspace, f"NVFlare did not start the run ({error})", "Read the log files there"
            ) from error
    results = build_report(out)
    print(summary_text(results))
    return 0 if read_json(out / FILE_NAME)["verdict"] == "complete" else 1
