# SPDX-License-Identifier: Apache-2.0
"""NVFlare's receivers by the name that a command line gives them."""

from __future__ import annotations

from typing import Any

from dsfedmed.flare.tracking import SITE_EVENT

EVENTS = ["analytix_log_stats", SITE_EVENT]
PROJECT = "dsfedmed"
TENSORBOARD = "tensorboard"


def receiver(kind: str, name: str) -> Any:
    """Return the receiver, which writes at the server.

    Args:
        kind: "tensorboard" (event files), "mlflow" (an SQLite store ``mlflow.db``) or "wandb" (offline; `wandb sync`
            uploads it), all in the job's folder at the server.
        name: of the job, under which the curves are shown.

    Raises:
        ModuleNotFoundError: the package is not installed (extra "tracking").
    """
    if kind == "mlflow":
        from dsfedmed.flare.receivers.mlflow import MLflow

        return MLflow(kw_args={"experiment_name": PROJECT, "run_name": name}, events=EVENTS)
    if kind == "wandb":
        from dsfedmed.flare.receivers.wandb import WandB

        arguments = {"project": PROJECT, "group": name, "job_type": "federation", "name": name}
        return WandB(wandb_args=arguments, events=EVENTS)
    from nvflare.app_opt.tracking.tb.tb_receiver import TBAnalyticsReceiver

    return TBAnalyticsReceiver(events=EVENTS)
