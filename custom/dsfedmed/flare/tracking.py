# SPDX-License-Identifier: Apache-2.0
"""Scalars for TensorBoard, MLflow or Weights & Biases, through NVFlare's own tracking events (`flare.receivers`)."""

from __future__ import annotations

from typing import Any

from nvflare.apis.analytix import AnalyticsDataType
from nvflare.app_common.widgets.streaming import create_analytic_dxo, send_analytic_dxo

SITE_EVENT = "fed.analytix_log_stats"


def log_scalar(component: Any, engine: Any, tag: str, value: float, step: int, from_site: bool) -> None:
    """Publish one scalar; a site's scalars travel to the server, so only send what the site may publish."""
    dxo = create_analytic_dxo(tag, float(value), AnalyticsDataType.SCALAR, global_step=step)
    with engine.new_context() as context:
        if from_site:
            send_analytic_dxo(component, dxo, context, event_type=SITE_EVENT, fire_fed_event=True)
        else:
            send_analytic_dxo(component, dxo, context)
