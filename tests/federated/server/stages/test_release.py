# SPDX-License-Identifier: Apache-2.0
"""What a run is for: a bundle with the best weights, whole, and with the figures of the method in its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.federated.server.stages import release as stage
from dsfedmed.federated.server.stages.release import release, release_bundle
from dsfedmed.store.files import read_json
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings

REPORT = {"methods": {"dsfedmed": {"seen_dice": 0.5, "seen_iou": 0.4, "seen_hd95": 3.0, "unseen_dice": None},
                      "other": {"seen_dice": 0.75}}}  # fmt: skip


@pytest.fixture(autouse=True)
def report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "build_results", lambda _: REPORT)


@pytest.mark.parametrize("bundle", ["light_tinysam_segmentation", "light_flexible_unet_segmentation"])
def test_the_release_holds_counters_and_idle_parts_too(bundle: str, tmp_path: Path) -> None:
    plan = tiny_plan(tiny_settings(image_size=64, light={"bundle": bundle}))
    best = {key: value + 0.25 for key, value in plan.start_weights().items()}
    run: Any = FakeRun(tmp_path, plan.settings, lambda *_: None)
    release(run, plan, best)
    written: dict[str, Tensor] = torch.load(tmp_path / "release" / "models" / "model.pt", weights_only=True)
    assert set(written) == set(plan.light_network().state_dict()) > set(best)
    assert all(torch.equal(written[key], value) for key, value in best.items())
    assert run.store.has("release")


def metadata_of(run: Any) -> dict[str, Any]:
    return dict(read_json(run.folder / "release" / "configs" / "metadata.json"))


def test_the_release_has_the_figures_of_the_method_that_was_scored(tmp_path: Path) -> None:
    """Of a stratum, what was measured: there was no unseen site."""
    plan = tiny_plan(tiny_settings())
    run: Any = FakeRun(tmp_path, plan.settings, lambda *_: None)
    release_bundle(run, plan, plan.light_bundle, plan.light_network().state_dict(), "other")
    first = metadata_of(run)
    assert first["eval_metrics"] == {"seen sites dice": 0.75}
    assert "weights of a DSFedMed federation" in first["changelog"].values()
    release(run, plan, plan.start_weights())
    assert metadata_of(run)["eval_metrics"] == {"seen sites dice": 0.5, "seen sites iou": 0.4, "seen sites hd95": 3.0}
