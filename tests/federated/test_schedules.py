# SPDX-License-Identifier: Apache-2.0
"""The other ways to run: the paper's order with the released rule, and colour sites with nested classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.store.files import read_json
from tests.federated.conftest import run_job, stage_tensors
from tests.federated.nested_sites import make_nested_sites

pytestmark = pytest.mark.federation
ALONE = [word for name in ("local", "fedavg", "equal_steps", "teacher") for word in ("--set", f"compare.{name}=false")]


def _set(**settings: object) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


def test_the_paper_s_order_distils_at_the_server_after_the_last_round(sites: Path, tmp_path: Path) -> None:
    changes = _set(
        schedule__order="paper", schedule__at="server", schedule__epochs=2, distillation__rule="batch_quantile"
    )
    run = run_job(sites, tmp_path / "paper", *changes, *ALONE)
    assert run.code == 0, run.output[-3000:]
    record = read_json(run.folder / "record.json")
    rounds = [entry["round"] for entry in record["curves"]["dsfedmed"]]
    assert rounds == [1, 2, 3, 4, 5], "three rounds of FedAvg, then two epochs of distillation"
    assert all(entry["validation"] for entry in record["curves"]["dsfedmed"])
    steps = [entry["local_steps"] for entry in record["curves"]["dsfedmed"]]
    assert steps[2] == steps[4], "the server's epochs cost the sites no step"
    assert [entry["round"] for entry in record["learnability"]] == [4, 5]
    assert not (run.folder / "sites" / "site_a" / "soft_labels.safetensors").exists()
    state = stage_tensors(run.folder, "distillation")
    before = stage_tensors(run.folder, "adapt teacher")
    moved = [n for n, t in before.items() if not torch.equal(t, state[f"teacher/{n}"])]
    assert moved, "the teacher learns from the light network"
    assert not [name for name in moved if name.startswith("image_encoder.")], "its encoder is frozen"


def test_colour_sites_with_nested_classes_in_four_formats(tmp_path: Path) -> None:
    """PNG, TIFF, NPY and JPEG, each of another size, without a word of configuration; distilled at both places."""
    folder = make_nested_sites(tmp_path / "sites")
    changes = _set(schedule__at="both", distillation__rule="softmax")
    run = run_job(folder, tmp_path / "nested", *changes, *ALONE)
    assert run.code == 0, run.output[-3000:]
    record = read_json(run.folder / "record.json")
    assert record["label_names"] == ["cell", "nucleus"]
    assert {site: facts["channels"] for site, facts in record["facts"].items()} == dict.fromkeys(record["facts"], 3)
    for cases in record["cases"]["dsfedmed"].values():
        assert all(len(case["dice"]) == 2 for case in cases)
    assert (run.folder / "sites" / "site_c" / "soft_labels.safetensors").exists()
