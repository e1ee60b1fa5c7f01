# SPDX-License-Identifier: Apache-2.0
"""Curves in MLflow."""

from __future__ import annotations

from nvflare.app_opt.tracking.mlflow.mlflow_receiver import MLflowReceiver

from dsfedmed.flare.receivers.with_server import WithServer


class MLflow(WithServer, MLflowReceiver):  # type: ignore[misc]
    """NVFlare's receiver, for the server's curves too."""
