# SPDX-License-Identifier: Apache-2.0
"""The comparison of number formats, on a stand-in for a finished run of tiny networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dsfedmed.algorithms.distillation import DistillationConfig
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.store.stage_store import StageResult
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed_benchmarks.measurement.clock import Spent
from dsfedmed_benchmarks.performance import precision
from dsfedmed_benchmarks.performance.distillation import SCALES, light_network, random_pool
from dsfedmed_benchmarks.performance.precision import Options, Outcome, run

BUNDLES = Path(__file__).parents[3] / "bundles"
POOL = random_pool(8, 32, 1, seed=0)


def light() -> torch.nn.Module:
    return light_network(BUNDLES / "light_unet_segmentation", SCALES["tiny"], seed=0)


def teacher() -> torch.nn.Module:
    return build_promptless_sam("tiny", 32, 1, seed=0)


def finished_run() -> SimpleNamespace:
    stages = {
        "adapt teacher": teacher().state_dict(),
        "training-fedavg": {f"best/{name}": value for name, value in light().state_dict().items()}
        | {"weights/x": POOL},
    }
    settings = SimpleNamespace(
        distillation=DistillationConfig(), server_distillation=ServerDistillationConfig(student_learning_rate=1e-2)
    )
    plan = SimpleNamespace(
        settings=settings,
        facts=SimpleNamespace(num_classes=1, nested=True),
        light_network=light,
        teacher_network=teacher,
    )
    arrays = SimpleNamespace(images=POOL.images([0, 1]), labels=POOL.labels([0, 1]))
    store = SimpleNamespace(get=lambda stage: StageResult({}, stages[stage]))
    return SimpleNamespace(plan=plan, store=store, sources=("a", "b"), validation=lambda site: arrays)


def test_formats_are_compared_order_by_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(precision.FinishedRun, "open", lambda *_: finished_run())
    monkeypatch.setattr(precision, "synthetic_set", lambda folder, finished: POOL)
    table = run(Options(tmp_path, tmp_path, epochs=1, seeds=2))
    before, whole, short = table.rows
    assert [row[0] for row in table.rows] == ["before", "float32", "bfloat16"]
    assert whole[2] != before[2]
    assert whole[3] == whole[6] == 0
    assert short[3] == pytest.approx(short[2] - whole[2])
    assert short[6] == pytest.approx(short[5] - whole[5])


def test_the_difference_and_its_standard_error_by_hand() -> None:
    spent = Spent(9.0, 2.0)
    reference = [Outcome(spent, 80.0, 60.0), Outcome(spent, 82.0, 64.0)]
    found = [Outcome(spent, 79.0, 61.0), Outcome(spent, 83.0, 64.0)]
    row = precision._row("bfloat16", found, reference)
    assert row == ["bfloat16", 2.0, 81.0, 0.0, pytest.approx(1.0), 62.5, 0.5]
    assert precision._row("off", reference[:1], reference[:1])[4] is None
