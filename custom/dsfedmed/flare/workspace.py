# SPDX-License-Identifier: Apache-2.0
"""Prepare a simulator workspace: what a hospital's installation holds, for all simulated sites at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST

from dsfedmed.federated.party.layout import SimulatedSites, write_party_config
from dsfedmed.store.files import write_json

SITE_CLASSES = (
    "dsfedmed.flare.executor.SiteExecutor",
    "dsfedmed.flare.filters.PackUpdates",
    "dsfedmed.flare.task_signal.TaskSignal",
)
"""What a job may name at a site. One by one: NVFlare calls whatever a job names with arguments of the job's choosing,
and with a prefix for the whole package that would be any of its functions, its commands among them."""
SERVER_CLASSES = (
    "dsfedmed.flare.controller.FederatedController",
    "dsfedmed.flare.receivers.mlflow.MLflow",
    "dsfedmed.flare.receivers.wandb.WandB",
)
"""What a job may name at the server."""
WHOLE_PACKAGE = "dsfedmed."
"""What earlier versions wrote instead; `dsfedmed.flare.deployment.kits.allow_package` takes it out again."""
PROGRESS, NOTHING, EVERYTHING = "progress", "nothing", "everything"


def prepare_workspace(
    workspace: Path, layout: SimulatedSites, also_allowed: Sequence[str] = (), shown: str = PROGRESS
) -> None:
    """Write ``local/`` of a simulator workspace; NVFlare copies it to every simulated site.

    It holds the class allow-list (NVFlare's own and this package's components, no code from jobs), the site
    configuration and a log configuration that leaves the console to the progress lines; full logs go to each site's
    ``log.txt``.

    Args:
        workspace: folder of the workspace.
        layout: where everything lies.
        also_allowed: further class prefixes, for components that are no part of the product.
        shown: on the console: `PROGRESS` and errors, `NOTHING` but errors, or `EVERYTHING`, NVFlare's own log included.
    """
    local = workspace / "local"
    allowed = [*DEFAULT_CLASS_ALLOW_LIST, *SITE_CLASSES, *SERVER_CLASSES, *also_allowed]
    write_json(local / "resources.json", {"format_version": 2, "class_allow_list": allowed})
    write_json(local / "log_config.json", _logging(shown))
    write_party_config(local, layout)


def _logging(shown: str) -> dict[str, Any]:
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
            "console": {
                "class": "logging.StreamHandler",
                "level": "INFO" if shown == EVERYTHING else "CRITICAL",
                "formatter": "full",
            },
            "logFileHandler": {**file, "level": "INFO", "formatter": "full", "filename": "log.txt"},
            "errorFileHandler": {**file, "level": "ERROR", "formatter": "full", "filename": "error_log.txt"},
        },
        "loggers": {
            "root": {"level": "INFO", "handlers": ["console", "logFileHandler", "errorFileHandler"]},
            "dsfedmed.progress": {
                "level": "INFO",
                "handlers": [] if shown == NOTHING else ["progress"],
                "propagate": True,
            },
        },
    }
