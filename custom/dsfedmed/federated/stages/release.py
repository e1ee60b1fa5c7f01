# SPDX-License-Identifier: Apache-2.0
"""Stage "release": the best light network as a MONAI bundle, and the report."""

from __future__ import annotations

from typing import Any

from dsfedmed.federated.arm import ArmState
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.networks.release import write_release
from dsfedmed.reporting.report import build_report

FOLDER = "release"
SCORES = ("dice", "iou", "hd95")


def release(flow: FederatedWorkflow, plan: Plan, ours: ArmState) -> None:
    """Write ``release/``, a bundle that `monai.bundle run` uses as it is, with its test metrics in the model card."""
    with flow.stage("release"):
        results = build_report(flow.folder)["methods"]["dsfedmed"]
        bundle = plan.light_bundle
        metrics = _metrics(results)
        # What never travels (counters, parts that are not run) comes from the start network, so that the file is whole.
        weights = {**plan.light_network().state_dict(), **ours.best}
        write_release(bundle.folder, flow.folder / FOLDER, weights, bundle.overrides, plan.facts, metrics)
        flow.store.put("release", {})


def _metrics(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    rows = {f"{kind} sites": {name: results.get(f"{kind}_{name}") for name in SCORES} for kind in ("seen", "unseen")}
    return {row: {k: v for k, v in values.items() if v is not None} for row, values in rows.items()}
