# SPDX-License-Identifier: Apache-2.0
"""Stage "release": what the run is for, as a MONAI bundle, and the report."""

from __future__ import annotations

from collections.abc import Mapping

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.reporting.methods import display_name
from dsfedmed.reporting.report import build_results
from dsfedmed.store.json_types import Json

FOLDER = "release"
SCORES = ("dice", "iou", "hd95")


def release(run: FederatedWorkflow, plan: FederationPlan, weights: Weights, scored: str = "") -> None:
    """Write ``release/``, a bundle that `monai.bundle run` uses as it is, with its test metrics in the model card.

    They are those of the model ``scored``, the method's own by default.
    """
    bundle = plan.light_bundle
    # What never travels (counters, parts that are not run) comes from the start network, so that the file is whole.
    release_bundle(run, plan, bundle, {**plan.light_network().state_dict(), **weights}, scored or run.METHOD)


def release_bundle(
    run: FederatedWorkflow, plan: FederationPlan, bundle: BundleDefinition, weights: Weights, scored: str
) -> None:
    """Write ``bundle`` with ``weights`` and the test figures of the method ``scored`` as the run's release."""
    with run.stage("release"):
        metrics = _metrics(build_results(run.folder)["methods"][scored])
        note = f"weights of a {display_name(run.METHOD)} federation"
        write_release(
            bundle.folder, run.folder / FOLDER, weights, bundle.settings, plan.facts, metrics,
            also_allowed=bundle.also_allowed, note=note,
        )  # fmt: skip
        run.store.put("release", {})


def _metrics(results: Mapping[str, Json]) -> dict[str, dict[str, float]]:
    rows = {f"{kind} sites": {name: results.get(f"{kind}_{name}") for name in SCORES} for kind in ("seen", "unseen")}
    return {row: {k: v for k, v in values.items() if isinstance(v, (int, float))} for row, values in rows.items()}
